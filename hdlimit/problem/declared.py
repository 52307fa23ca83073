"""The lists of all noise laws and covariances: what is imported here is known by its name in files."""

from hdlimit.problem.covariance import Covariance, Rotated
from hdlimit.problem.empirical import Empirical
from hdlimit.problem.gaussian_mixture import GaussianMixture
from hdlimit.problem.named_covariances import Isotropic, MarchenkoPastur, PowerLaw, Wishart
from hdlimit.problem.noise import Gaussian, Laplace, NoNoise, Rademacher, StudentT, Uniform
from hdlimit.problem.scipy_noise import ScipyNoise
from hdlimit.problem.stable import SymmetricStable

COVARIANCES = (Isotropic, PowerLaw, MarchenkoPastur, Wishart, Covariance, Rotated)
NOISES = (
    NoNoise,
    Gaussian,
    StudentT,
    Laplace,
    Uniform,
    Rademacher,
    SymmetricStable,
    GaussianMixture,
    Empirical,
    ScipyNoise,
)
