#ifndef CPLATFORM_CLONES_H
#define CPLATFORM_CLONES_H

// Loops that the compiler vectorises, compiled for AVX2 as well where the linker can choose at run time.
#if defined(__x86_64__) && defined(__ELF__)
#define CLONES __attribute__((target_clones("avx2", "default")))
#else
#define CLONES
#endif

#endif
