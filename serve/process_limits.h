/* What a server asks of its own process before it begins; for the whole process. */
#ifndef SERVE_PROCESS_LIMITS_H
#define SERVE_PROCESS_LIMITS_H

/* As many descriptors as LIMIT_DESCRIPTORS, or as many as the system grants: fewer connections
 * then. */
void process_raise_descriptors(void);
/* What a conversation had goes back to the system when it ends. glibc alone would learn from the
 * first that ends to keep blocks of that size, and a server grow by how its conversations overlap:
 * 6,400 of minnow's, one after the other, took it from 64 to 98 MB. */
void process_give_memory_back(void);

#endif
