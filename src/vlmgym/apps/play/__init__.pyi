from .inputs import input_kind as input_kind
from .server import Server as Server
from .server import serve as serve
from .session import Session as Session
