/* Devices that grow, shrink, refuse, lie or are damaged, volumes as devices, and what the program is told of it. */
#ifndef DEVICES_H
#define DEVICES_H

#include "scenario.h"

/* Works on a disk in memory. 0 if all went as it must. */
int devices(unsigned char *memory, size_t size);

/* The same for superblocks, records and data that are not as they were written. */
int damage(unsigned char *memory, size_t size);

#endif
