/* SPDX-License-Identifier: Apache-2.0 */
/* To be preloaded: Linux says that the CPU has no AES instructions, as on a Raspberry Pi 4. QEMU has no such CPU. */
#include <asm/hwcap.h>
#include <sys/auxv.h>

unsigned long __getauxval(unsigned long type); /* the same, for libgcc */

unsigned long getauxval(unsigned long type)
{
    unsigned long value = __getauxval(type);
    return type == AT_HWCAP ? value & ~(unsigned long)HWCAP_AES : value;
}
