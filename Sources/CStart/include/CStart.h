#ifndef CSTART_H
#define CSTART_H

// Nothing is called: what start.c does, it does before the program begins.

#endif
