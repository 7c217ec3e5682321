/* schema.sql as a string of this program. Compiled from the top of the tree; the Makefile knows the dependency. */
#include "coordinator/store/inner.h"

__asm__(".pushsection .rodata\n"
        ".globl store_schema\n"
        "store_schema:\n"
        ".incbin \"coordinator/store/schema.sql\"\n"
        ".byte 0\n"
        ".popsection\n");
