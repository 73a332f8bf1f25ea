#include <cblas.h>

/* LAPACK's symmetric eigenproblem by divide and conquer. OpenBLAS carries it; the header of LAPACKE is a package of its own. */
void dsyevd_(const char *jobz, const char *uplo, const blasint *n, double *a, const blasint *lda, double *w,
             double *work, const blasint *lwork, blasint *iwork, const blasint *liwork, blasint *info);
