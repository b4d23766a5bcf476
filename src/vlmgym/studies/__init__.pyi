from .runner import run_study as run_study
from .study import Study as Study
