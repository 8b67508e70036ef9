/* One scenario for every device: the whole life of a pool, through the C interface. */
#ifndef SCENARIO_H
#define SCENARIO_H

#include "cowl.h"
#include <stdio.h>

#define SECTOR 512u

/* Ends the function with the line if the condition does not hold. */
#define EXPECT(condition)                                                                                              \
    do {                                                                                                               \
        if (!(condition)) {                                                                                            \
            printf("%s:%d: not so: %s\n", __FILE__, __LINE__, #condition);                                             \
            return 1;                                                                                                  \
        }                                                                                                              \
    } while (0)

/* Formats the device and leaves a pool on it in which `volume_is_as_left` holds. 0 if all went as it must. */
int scenario(const cowl_device *device, void *memory, size_t size);

/* What the volume "root" holds when the scenario is over. */
unsigned char left_in(uint64_t sector);

/* The attributes of a layer with this name. */
cowl_attributes named(const char *name);

#endif
