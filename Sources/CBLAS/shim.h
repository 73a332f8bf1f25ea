#include <cblas.h>

/* OpenBLAS's buffers for packed operands: each is mapped once, and given out again. Weak, for a BLAS without them. */
extern void *blas_memory_alloc(int position) __attribute__((weak));
extern void blas_memory_free(void *buffer) __attribute__((weak));
static inline int cblas_has_buffers(void) { return blas_memory_alloc != 0 && blas_memory_free != 0; }

/* LAPACK's symmetric eigenproblem by divide and conquer. OpenBLAS carries it; the header of LAPACKE is a package of its own. */
void dsyevd_(const char *jobz, const char *uplo, const blasint *n, double *a, const blasint *lda, double *w,
             double *work, const blasint *lwork, blasint *iwork, const blasint *liwork, blasint *info);
