#!/bin/sh
# The page in a headless Chromium: what it shows, in both colour schemes, on a phone, by keyboard, with hostile texts, with ten thousand
# trials, and when the coordinator goes and comes back. The runs are made up by `stage`.
. "$(dirname "$0")/../cluster/lib.sh"
if ! command -v chromedriver >/dev/null; then
    skip "chromium and chromium-driver"
    theme_end
    exit 0
fi
. "$here/browser.sh"

# play SCENE [TRIALS]: a dashboard of that scene, its address in $url.
play() {
    [ -z "$player" ] || kill9 "$player"
    mkdir -p "$1"
    mkfifo "$1.stay" 2>/dev/null
    scene=$1
    rm -f "$1.log"
    # Its standard input stays open as long as this script lives.
    env "$mark" setsid "$programs/tests/dashboard/stage" "$1" "$@" <"$1.stay" >"$1.log" 2>&1 &
    player=$!
    exec 9>"$1.stay"
    check "$1: the stage is set" wait_for 60 test -s "$1.log"
    url=$(head -n 1 "$1.log")
}
# In the same folder, so at the same address.
play_on() { set -- "$scene" "$@"; play "$@"; }

settled='document.querySelector("#link").textContent === "live" && document.querySelector("#name").textContent !== "Mendel"'
narrow='document.documentElement.scrollWidth <= innerWidth'

# show SCENE [TRIALS]: in a fresh page of 1280 pixels, light.
show() {
    visit about:blank # before the last run goes: a page that is open would complain
    silent_console >/dev/null
    play "$@"
    size 1280 900
    scheme light
    visit "$url"
    look "$1: the page is live" "$settled"
}

# The ratio of a text's colour to what is behind it, by WCAG.
contrast='
const channels = (c) => c.match(/[0-9.]+/g).map(Number);
const light = (c) => channels(c).slice(0, 3).map((v) => v / 255).map((v) => (v <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4)).reduce((s, v, i) => s + v * [0.2126, 0.7152, 0.0722][i], 0);
const behind = (e) => { for (; e; e = e.parentElement) { const c = getComputedStyle(e).backgroundColor; const a = channels(c)[3]; if (a === undefined || a > 0) return c; } return "rgb(255,255,255)"; };
const ratio = (e) => { const [a, b] = [light(getComputedStyle(e).color), light(behind(e))].sort((x, y) => y - x); return (a + 0.05) / (b + 0.05); };
const pale = [...document.querySelectorAll("h1, h2, p, dt, dd, span, td, th button, button, a, li, summary *")].filter((e) => e.checkVisibility() && e.textContent.trim() && !e.disabled && e.children.length === 0 && ratio(e) < 4.5);
return pale.length ? pale.slice(0, 5).map((e) => e.textContent + " " + ratio(e).toFixed(2)).join("; ") : true;'
readable() { js "$contrast"; [ "$value" = true ] || { echo "$value"; return 1; }; }

check "a browser starts" browser_start

# ---- a run that goes on ----

show many 300
look "the name of the run is its heading" 'document.querySelector("h1").textContent === "evolve_shapes"'
look "the best is named with its gain" '/^0\.\d{4}$/.test(document.querySelector("#best").textContent) && /^# \d+, \+0\.\d{4}$/.test(document.querySelector("#best-more").textContent)'
look "so is the time left" '/^\d+ (h \d+ )?min$/.test(document.querySelector("#left").textContent)'
look "every worker is shown with its device" 'document.querySelectorAll(".worker").length >= 3 && document.body.innerText.includes("NVIDIA H100 80GB HBM3")'
look "with candidate, epoch, step and speed" '/# \d+\s+epoch \d+\/50, step \d+\/120\s+[\d.]+ img\/s/.test(document.querySelector(".slot").innerText.replace(/\n/g, " "))'
look "one that is silent is said to be" '/silent for \d+ s/.test(document.querySelector("#workers").textContent)'
look "every hyperparameter that varies has its plot" 'document.querySelectorAll(".panel:not([hidden]) canvas").length >= 6 && document.querySelectorAll(".panel:not([hidden])").length === 19'
look "the others have a word" 'document.querySelector("#constant").textContent.includes("iou_t 0.2")'
look "the fitness chart has points" '(() => { const c = document.querySelector("#fitness canvas"), d = c.getContext("2d").getImageData(0, 0, c.width, c.height).data; let n = 0; for (let i = 3; i < d.length; i += 4) n += d[i] > 0; return n > 3000; })()'
look "the population is sorted by fitness" '(() => { const f = [...document.querySelectorAll("#table tbody tr")].slice(0, 25).map((r) => Number(r.children[2].textContent)); return f.length === 25 && f.every((v, i) => !i || f[i - 1] >= v); })()'
look "failures have reasons" 'document.querySelectorAll("#failures details").length >= 8 && document.querySelector("#failures").innerText.includes("out of memory: 81.2 GB were asked for")'
js 'window.before = Number(document.querySelector("#evaluated").textContent); return window.before'
look "results arrive while one looks" 'Number(document.querySelector("#evaluated").textContent) > window.before + 1'
look "in the table, too" '/of 3\d\d$/.test(document.querySelector("#page").textContent) && Number(document.querySelector("#page").textContent.split(" ").at(-1)) > 301'
js 'window.shift = 0; new PerformanceObserver((list) => { for (const e of list.getEntries()) window.shift += e.value; }).observe({ type: "layout-shift", buffered: true }); return true'
look "nothing jumps" 'window.shift < 0.1'
js 'document.querySelector("#failures details").open = true; return true'
look "a log opens at its last line" '(() => { const p = document.querySelector("#failures pre"); return p && p.textContent.length > 1000 && p.scrollTop > 0; })()'
look "nothing is loaded from elsewhere" 'performance.getEntriesByType("resource").every((e) => e.name.startsWith(location.origin + "/"))'
look "the address bar has forgotten the token" 'location.search === ""'
check "light: every text can be read" readable
picture many-light
scheme dark
look "the dark scheme is dark" 'getComputedStyle(document.body).backgroundColor === "rgb(13, 17, 23)"'
check "dark: every text can be read" readable
picture many-dark
size 360 740
look "360 pixels are wide enough" "$narrow"
picture many-phone-dark
scheme light
picture many-phone
check "the console has nothing to say" silent_console

# ---- by keyboard ----

size 1280 900
visit "$url"
look "the page is there again" "$settled && document.querySelectorAll('#table tbody tr').length > 0"
press Tab
look "the first stop leads past the head" 'document.activeElement.className === "skip" && document.activeElement.getBoundingClientRect().top >= 0'
js 'window.stops = []; addEventListener("focusin", () => { const e = document.activeElement; stops.push(e.id || e.parentElement.id || e.closest("section, footer")?.querySelector("h2, #version")?.id); if (getComputedStyle(e).outlineStyle === "none") stops.push("unseen"); }); return true'
press Tab 5
look "then come the chart and the workers" 'stops.slice(0, 4).join(" ") === "by-order by-time fitness workers"'
js 'document.querySelector("#fitness").focus(); return true'
press ArrowRight
press ArrowLeft
look "arrows go from trial to trial" '/^candidate \d+, fitness 0\.\d+/.test(document.querySelector("#fitness").getAttribute("aria-valuetext")) && !document.querySelector("#tip").hidden'
press Enter
look "Enter shows the trial" 'document.querySelector("#detail").open && /^Candidate \d+$/.test(document.querySelector("#detail-title").textContent) && document.querySelectorAll("#detail tbody tr").length === 23'
picture detail
press Escape
look "Escape leads back to the chart" '!document.querySelector("#detail").open && document.activeElement.id === "fitness"'
js 'document.querySelector("#table th:nth-child(8) button").focus(); return true'
press Enter
look "columns are sorted by Enter" 'document.querySelector("#table th:nth-child(8)").getAttribute("aria-sort") === "descending"'
press Enter
look "and the other way by another" 'document.querySelector("#table th:nth-child(8)").getAttribute("aria-sort") === "ascending"'
js 'document.querySelector("#next").focus(); return true'
press Enter
look "pages are turned" 'document.querySelector("#page").textContent.startsWith("26–50 of ")'
look "no stop is without its mark" '!stops.includes("unseen")'

# ---- the coordinator goes, and comes back ----

kill9 "$player"
player=
look "that the coordinator is gone is said" 'document.querySelector("#notice").textContent.includes("does not answer") && document.querySelector("#link").textContent === "no answer"'
look "what was there stays" 'document.querySelectorAll("#table tbody tr").length > 0'
silent_console >/dev/null
play_on 40
look "a page that was open finds the run again" "$settled && Number(document.querySelector('#evaluated').textContent) < 60"
js 'document.querySelector("#first").click(); return true'
look "and forgets the trials of before" '/of [45]\d$/.test(document.querySelector("#page").textContent)'
silent_console >/dev/null # failed connections are the browser's own lines

# ---- other runs ----

show empty
look "a run without a result says so" 'document.querySelector("#workers").textContent === "No worker is connected." && document.querySelector("#best-more").textContent === "no result yet" && document.querySelector("#failures").textContent === "Nothing has failed."'
picture empty
size 360 740
look "empty: 360 pixels are wide enough" "$narrow"
check "empty: the console has nothing to say" silent_console

show one
look "one result is a chart" 'document.querySelector("#evaluated").textContent === "1" && document.querySelector("#fitness").getAttribute("aria-valuetext").includes("candidate 1")'
picture one
check "one: the console has nothing to say" silent_console

show wide 300
look "texts of others are texts" 'document.title !== "broken in" && document.images.length === 1 && document.scripts.length === 1 && document.querySelector("h1").textContent.includes("<img src=x")'
look "bytes that are no UTF-8 are marked" 'document.querySelector("#workers").textContent.includes("\ufffd\ufffd no UTF-8")'
look "wide: nothing is wider than the page" "$narrow"
picture wide
size 360 740
look "wide: nor than a phone" "$narrow"
js 'document.querySelectorAll("#failures details").forEach((d) => { d.open = true; }); return true'
look "wide: nor are logs" "document.querySelectorAll('#failures pre').length >= 8 && $narrow"
picture wide-phone
check "wide: the console has nothing to say" silent_console

show broken 60
look "the reason for which a run has ended is said" 'document.querySelector("#phase").textContent === "stopped with a reason" && document.querySelector("#notice").textContent.includes("3 candidates in a row failed")'
picture broken
show paused 60
look "a pause is said" 'document.querySelector("#phase").textContent === "paused" && document.querySelector("#notice").textContent.startsWith("Paused")'
show full 60
look "a full disk is said" 'document.querySelector("#phase").textContent === "no space" && document.querySelector("#notice").textContent.includes("no space left")'
picture full
show finished 60
look "the end is said" 'document.querySelector("#phase").textContent === "finished"'
check "full and ended ones: the console has nothing to say" silent_console

# ---- ten thousand ----

show many 10000
look "ten thousand trials are shown" 'document.querySelector("#page").textContent.includes("of 10,0")'
look "and sorted at once" '(() => { const t = performance.now(); document.querySelector("#table th:nth-child(12) button").click(); return performance.now() - t < 1500; })()'
look "with no more elements than for a few" 'document.querySelectorAll("*").length < 4000'
js 'window.slow = 0; let last = performance.now(); const tick = () => { const now = performance.now(); window.slow = Math.max(window.slow, now - last); last = now; requestAnimationFrame(tick); }; tick(); window.n = Number(document.querySelector("#evaluated").textContent.replace(",", "")); return true'
look "they go on growing" 'Number(document.querySelector("#evaluated").textContent.replace(",", "")) > window.n + 2'
picture ten-thousand
check "and the page never stands still for long" true_in_page "window.slow < $((4000 * slower))"
check "ten thousand: the console has nothing to say" silent_console
kill9 "$player"
browser_end
theme_end
