/* The page as part of this program. Compiled from the top of the tree; the Makefile knows the dependency. */
#include <string.h>

#include "coordinator/dashboard/dashboard_inner.h"

#define HTML       "text/html; charset=utf-8"
#define CSS        "text/css; charset=utf-8"
#define JAVASCRIPT "text/javascript; charset=utf-8"
#define SVG        "image/svg+xml"

/* clang-format off */
/*      symbol          path            file           type */
#define ASSETS(ROW)                                                        \
    ROW(asset_index,    "/",            "index.html",  HTML)               \
    ROW(asset_style,    "/style.css",   "style.css",   CSS)                \
    ROW(asset_app,      "/app.js",      "app.js",      JAVASCRIPT)         \
    ROW(asset_live,     "/live.js",     "live.js",     JAVASCRIPT)         \
    ROW(asset_charts,   "/charts.js",   "charts.js",   JAVASCRIPT)         \
    ROW(asset_panels,   "/panels.js",   "panels.js",   JAVASCRIPT)         \
    ROW(asset_table,    "/table.js",    "table.js",    JAVASCRIPT)         \
    ROW(asset_detail,   "/detail.js",   "detail.js",   JAVASCRIPT)         \
    ROW(asset_workers,  "/workers.js",  "workers.js",  JAVASCRIPT)         \
    ROW(asset_failures, "/failures.js", "failures.js", JAVASCRIPT)         \
    ROW(asset_words,    "/words.js",    "words.js",    JAVASCRIPT)         \
    ROW(asset_icon,     "/icon.svg",    "icon.svg",    SVG)
/* clang-format on */

#define EMBED(symbol, path, file, type)                                                                                \
    __asm__(".pushsection .rodata\n.globl " #symbol ", " #symbol "_end\n" #symbol ":\n"                                \
            ".incbin \"coordinator/dashboard/" file "\"\n" #symbol "_end:\n"                                           \
            ".byte 0\n"                                                                                                \
            ".popsection\n");                                                                                          \
    extern const char symbol[], symbol##_end[];
ASSETS(EMBED)

#define AS_ASSET(symbol, path, file, type) {path, type, symbol, symbol##_end},
static const asset assets[] = {ASSETS(AS_ASSET)};

const asset *asset_find(const char *path)
{
    for (size_t i = 0; i < sizeof assets / sizeof *assets; i++)
        if (!strcmp(assets[i].path, path)) return &assets[i];
    return NULL;
}
