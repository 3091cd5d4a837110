"""English words of the caption grammar; every list holds phrasings of one meaning."""
PLACES = {
    'sea': ['on the sea', 'over the sea', 'on the ocean', 'at sea', 'on the blue sea', 'above the waves', 'over the waves', 'on the open ocean', 'in front of a lighthouse at sea'],
    'beach': ['on a beach', 'on the beach', 'at the seaside', 'on a sandy beach with a palm tree', 'by the shore', 'on a tropical beach', 'over the beach'],
    'meadow': ['in a meadow', 'over green hills', 'in the green hills', 'across a meadow', 'on a flowery meadow', 'in the countryside', 'over rolling hills', 'on the grass'],
    'forest': ['in a forest', 'in the forest', 'in the woods', 'between tall trees', 'among fir trees', 'on a forest path', 'through a green forest'],
    'mountains': ['by a mountain lake', 'in front of mountains', 'in the mountains', 'on a lake below snowy peaks', 'before high mountains', 'at a lake in the mountains', 'in the Alps'],
    'desert': ['in the desert', 'over the desert', 'over sand dunes', 'in front of pyramids', 'in a hot desert', 'among the dunes', 'across the desert'],
    'snow': ['in the snow', 'in a snowy landscape', 'on a snow field', 'in a winter landscape', 'in a white winter world', 'next to a snowman', 'over snowy hills'],
    'city': ['in the city', 'in a city', 'on a city street', 'in front of houses in town', 'downtown', 'over a city street', 'in a town', 'between city buildings'],
}
THINGS = {
    'boat': ['boat', 'sailing boat', 'sailboat', 'ship', 'little boat', 'small sailing ship'], 'balloon': ['balloon', 'hot air balloon', 'hot-air balloon', 'big balloon'],
    'ball': ['ball', 'beach ball', 'round ball', 'toy ball'], 'car': ['car', 'little car', 'small car', 'toy car', 'automobile'],
    'kite': ['kite', 'paper kite', 'flying kite'], 'bird': ['bird', 'little bird', 'small bird', 'songbird'],
    'fish': ['fish', 'little fish', 'big fish', 'striped fish'], 'train': ['train', 'steam train', 'locomotive', 'little train', 'steam engine'],
    'person': ['person', 'child', 'little boy', 'little girl', 'man', 'woman'], 'dog': ['dog', 'puppy', 'little dog', 'small dog'],
}
PERSON = ['{n} in {c}', '{n} in a {c} coat', '{n} in a {c} jacket', '{c}-dressed {n}', '{n} wearing {c}', '{n} with a {c} coat and a {c} hat', '{c} {n}']
COLOURS = {'red': ['red', 'bright red'], 'orange': ['orange'], 'yellow': ['yellow', 'bright yellow'], 'green': ['green'],
           'turquoise': ['turquoise', 'cyan', 'teal'], 'blue': ['blue', 'deep blue'], 'purple': ['purple', 'violet'],
           'pink': ['pink'], 'white': ['white'], 'black': ['black']}
#: {v} is the thing's own verb, third person.
VERBS = {'boat': ['sails', 'glides', 'floats'], 'balloon': ['floats', 'drifts', 'glides', 'flies'], 'ball': ['rolls', 'flies'],
         'car': ['drives', 'rolls'], 'kite': ['flies', 'sails', 'drifts'], 'bird': ['flies', 'flaps', 'glides'], 'fish': ['swims', 'glides'],
         'train': ['rolls', 'drives', 'steams'], 'person': ['walks', 'strolls', 'goes'], 'dog': ['runs', 'walks', 'trots']}
ACTIONS = {
    'right': ['{v} to the right', '{v} right', '{v} from left to right', '{v} towards the right', 'moves to the right', 'moves right', 'crosses the picture from left to right', 'goes to the right'],
    'left': ['{v} to the left', '{v} left', '{v} from right to left', '{v} towards the left', 'moves to the left', 'moves left', 'crosses the picture from right to left', 'goes to the left'],
    'up': ['rises', 'rises into the air', 'moves up', 'goes up', 'climbs upwards', 'floats upwards', 'lifts off', 'ascends'],
    'down': ['sinks', 'falls', 'comes down', 'moves down', 'descends', 'floats downwards', 'falls slowly', 'goes down'],
    'circle': ['circles', 'moves in a circle', 'flies in circles', 'goes round in a circle', '{v} in a circle', 'makes a loop', 'goes around'],
    'bounce': ['bounces', 'bounces up and down', 'hops', 'jumps up and down', 'keeps bouncing', 'hops up and down'],
    'grow': ['grows', 'grows bigger', 'gets bigger and bigger', 'becomes larger', 'swells', 'grows larger and larger'],
    'spin': ['spins', 'turns around itself', 'rotates', 'spins around', 'whirls', 'turns like a wheel'],
    'behind': {'meadow': ['passes behind a tree', '{v} behind a tree', 'disappears behind a tree and comes out again'],
               'forest': ['passes behind a tree', '{v} behind a big tree', 'disappears behind a tree and comes out again'],
               'snow': ['passes behind a fir tree', '{v} behind a fir tree', 'disappears behind a tree and comes out again'],
               'city': ['passes behind a tower', '{v} behind a clock tower', 'disappears behind a tower and comes out again'],
               'else': ['passes behind a rock', '{v} behind a rock', 'disappears behind a rock and comes out again']},
}
ADVERBS = ['', '', '', '', 'slowly ', 'gently ', 'calmly ', 'happily ', 'quietly ', 'steadily ']
CAMERAS = {
    'static': ['the camera stands still', 'static shot', 'static camera', 'fixed camera', 'locked-off shot'],
    'pan left': ['the camera pans left', 'pan left', 'slow pan to the left', 'the camera pans to the left', 'camera panning left'],
    'pan right': ['the camera pans right', 'pan right', 'slow pan to the right', 'the camera pans to the right', 'camera panning right'],
    'tilt up': ['the camera tilts up', 'tilt up', 'slow tilt upwards', 'the camera looks up', 'camera tilting up'],
    'tilt down': ['the camera tilts down', 'tilt down', 'slow tilt downwards', 'the camera looks down', 'camera tilting down'],
    'push in': ['the camera pushes in', 'slow push in', 'push in', 'zoom in', 'the camera moves closer', 'dolly in'],
    'pull out': ['the camera pulls out', 'slow pull out', 'pull out', 'zoom out', 'the camera moves back', 'the camera pulls back', 'dolly out'],
    'orbit left': ['the camera orbits left', 'orbit to the left', 'slow orbit left', 'the camera circles to the left'],
    'orbit right': ['the camera orbits right', 'orbit to the right', 'slow orbit right', 'the camera circles to the right'],
}
WEATHERS = {
    'clear': ['clear weather', 'a clear sky', 'fine weather', 'under a clear sky', 'cloudless sky'],
    'rain': ['it is raining', 'rain falls', 'in the rain', 'heavy rain', 'rainy weather', 'on a rainy day'],
    'snow': ['snow is falling', 'it is snowing', 'snowflakes fall', 'falling snow', 'in the falling snow', 'snowfall'],
    'fog': ['in the fog', 'thick fog', 'foggy weather', 'mist drifts by', 'fog drifts by', 'in mist'],
    'clouds': ['clouds drift by', 'drifting clouds', 'white clouds move across the sky', 'cloudy sky', 'under drifting clouds'],
    'leaves': ['leaves blow by', 'autumn leaves fly through the air', 'blowing leaves', 'leaves in the wind', 'the wind carries leaves'],
}
LIGHTS = {
    'day': ['by day', 'in daylight', 'on a sunny day', 'in bright daylight', 'at noon', 'bright sunlight'],
    'sunset': ['at sunset', 'the sun sets', 'in the evening sun', 'at dusk with a red sky', 'golden sunset', 'the sun goes down'],
    'night': ['at night', 'by night', 'under the stars', 'in the moonlight', 'a starry night', 'under the moon'],
    'lamp': ['a lamp goes on', 'a street lamp lights up', 'a lamp is switched on', 'in the twilight a lamp goes on', 'the lantern lights up'],
    'lightning': ['lightning flashes', 'flashes of lightning', 'in a thunderstorm', 'lightning strikes', 'a thunderstorm with lightning'],
}
STYLES = ['picture book style', 'illustration', 'flat illustration', 'children\'s book illustration', 'cartoon style', 'paper-cut style', 'cheerful colours', 'storybook style', 'animated film', 'colourful drawing']
EFFECTS = {
    'ripple': ['ripples run over the picture', 'the water ripples', 'everything ripples like water', 'gentle ripples', 'waves run through the picture'],
    'rain': WEATHERS['rain'] + ['rain begins to fall', 'it starts to rain'], 'snow': WEATHERS['snow'] + ['snow begins to fall', 'it starts to snow'],
    'fog': WEATHERS['fog'] + ['fog rolls in', 'fog rises'], 'leaves': WEATHERS['leaves'],
    'darken': ['night falls', 'it grows dark', 'the light fades', 'it gets dark', 'darkness falls', 'the light goes out slowly'],
    'sunset': ['the sun sets', 'evening light', 'the light turns golden', 'at sunset', 'warm evening light'],
    'lightning': ['lightning flashes', 'flashes of lightning', 'a thunderstorm with lightning', 'lightning strikes'],
}
SUBJECTS = ('a cat|a dog|a woman|a man|a child|a house|a street|a forest|a lake|a river|mountains|flowers|a garden|a bridge|a tower|a bird|a horse|'
            'fruit on a table|a cup of coffee|a portrait|an old town|a window|clouds|the sky|a road|trees|a train|food|a room|a church|rocks|a field|'
            'people|a painting|a toy|a boat|a car|the sea|a beach|a city at night|a desert|snow|an animal|a landscape|a rocket|an astronaut|a face|a flower').split('|')
