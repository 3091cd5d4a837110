"""The drawn world: scenes and animated pictures with their captions, rendered by torch on any device."""
from . import pictures
from .captions import caption
from .render import render, thing_map
from .scene import (ACTIONS, CAMERAS, COLOURS, EFFECTS, LIGHTS, PLACES, STILL_CAMERAS, THINGS, WEATHERS, Scene, Still,
                    sample_scenes, sample_stills)
from .stills import first_frames, render_stills
