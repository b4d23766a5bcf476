from .loading import load as load
from .loading import model_path as model_path
