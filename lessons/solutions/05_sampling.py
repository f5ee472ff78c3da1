"""Solution 05 · Fit a Gaussian to codes that count unequally.

Divide by W = sum w_i, which moves no maximum. In place of every mean over i stands
now a mean with the weights w_i / W. Let z^ be that mean of the codes, and

    S = sum_i (w_i / W) (z_i - z^)(z_i - z^)'.

The cross term in (5.2) still vanishes, since sum_i w_i (z_i - z^) = 0: that is what z^
is. So (5.2) to (5.5) hold word for word: the mean is z^, the covariance S. Weights that
are all the same give the lesson's fit, and twice the weights change nothing.
"""


def fit_weighted(z, weights):
    share = weights / weights.sum()
    mean = share @ z
    apart = z - mean
    covariance = (share[:, None] * apart).T @ apart
    return mean, covariance


def draw(rng, N, Z):
    return rng.normal(size=(N, Z)) + rng.normal(size=Z), rng.uniform(0.1, 3, size=N)


EXERCISES = {fit_weighted: draw}
