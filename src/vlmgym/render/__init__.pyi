from .frames import Frames as Frames
from .frames import pictures as pictures
from .frames import render as render
from .looks import LOOKS as LOOKS
from .looks import Look as Look
from .looks import get_look as get_look
