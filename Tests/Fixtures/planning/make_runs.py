"""Synthetic training runs of each law with noise on the logarithm of the loss, and values the tests expect.

The formulas are written here from the papers, not from the program. Needs numpy.
"""
import csv
import itertools

import numpy as np

rng = np.random.default_rng(2024)


def effective(experts, start, maximum):
    return 1 / (1 / (experts - 1 + 1 / (1 / start - 1 / maximum)) + 1 / maximum)


def joint(n, d, e, a=35.91, alpha=-0.1889, delta=-0.2285, gamma=0.0098, b=35.98, beta=-0.1775, omega=0.5529,
          zeta=-0.0259, start=2.0732, maximum=290.4521, c=1.3637):
    x = np.log(effective(e, start, maximum))
    return a * np.exp(delta * x) * n ** (alpha + gamma * x) + b * np.exp(omega * x) * d ** (beta + zeta * x) + c


def yun(n, d, e, A=400.0, alpha=0.34, B=0.5, beta=0.5, C=1000.0, gamma=0.33, F=1.5, cross=-0.001, start=1.9,
        maximum=60.0):
    x = effective(e, start, maximum)
    return (A / n**alpha + B / x**beta + C / d**gamma + F) * np.exp(cross * np.log(n) * np.log(x))


def clark(n, e, a=-0.082, b=-0.108, c=0.009, d=1.104, start=1.847, maximum=314.478):
    x = np.log10(effective(e, start, maximum))
    return 10 ** (a * np.log10(n) + b * x + c * np.log10(n) * x + d)


def krajewski(n, d, g, a=18.1, alpha=0.115, b=30.8, beta=0.147, gg=2.1, gamma=0.58, c=0.47):
    return c + (gg / g**gamma + a) / n**alpha + b / d**beta


def upcycled(n, d, sunk, A=16.3, a1=0.043, a2=0.085, a3=7.98e-4, B=8.53, beta=0.112, c=0.165):
    return A * sunk**-a1 * d ** (-a2 + a3 * np.log(sunk)) + B * n**-beta + c


def chinchilla(n, d, A=406.4, alpha=0.3392, B=410.7, beta=0.2849, E=1.6934):
    return E + A / n**alpha + B / d**beta


def write(name, columns, rows, law, noise):
    with open(name + ".csv", "w", newline="") as file:
        out = csv.writer(file, lineterminator="\n")
        out.writerow(columns + ["loss"])
        for row in rows:
            loss = law(*row) * np.exp(noise * rng.standard_normal())
            out.writerow(["%.6g" % x for x in row] + ["%.9g" % loss])


sizes = np.geomspace(1e8, 3e9, 5)
tokens = np.geomspace(1e9, 8e10, 5)
write("joint", ["N", "D", "E"], itertools.product(sizes, tokens, [1, 2, 4, 8, 16, 32]), joint, 1e-4)
write("yun", ["N", "D", "E"], itertools.product(np.geomspace(5e7, 3e9, 6), np.geomspace(1e9, 1e11, 5), [1, 2, 4, 8, 16, 32]), yun, 1e-4)
write("clark", ["N", "E"], itertools.product(np.geomspace(1.5e7, 1.3e9, 6), [1, 2, 4, 8, 16, 32, 64, 128, 256, 512]), clark, 1e-3)
write("krajewski", ["parameters", "tokens", "granularity"],
      itertools.product(np.geomspace(1e8, 1e11, 6), np.geomspace(1e9, 1e12, 6), [1, 2, 4, 8, 16]), krajewski, 1e-4)
write("liew-upcycled", ["N", "D", "D1"],
      itertools.product(np.geomspace(1e7, 1e10, 6), np.geomspace(1e8, 1e11, 6), np.geomspace(1e9, 1e12, 5)), upcycled, 1e-4)
write("chinchilla", ["N", "D"], itertools.product(np.geomspace(4.4e7, 1.6e10, 12), np.geomspace(5e9, 5e11, 10)), chinchilla, 2e-3)
