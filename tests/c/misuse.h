/* Everything that a program can do wrong with the C interface, and what it is told. */
#ifndef MISUSE_H
#define MISUSE_H

#include "scenario.h"

/* Works on copies of the device in memory; the device itself is only looked at. 0 if all went as it must. */
int misuse(const cowl_device *device, unsigned char *memory, size_t size);

#endif
