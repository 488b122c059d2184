# %% [markdown]
# [![Open in Colab](https://colab.research.google.com/assets/colab-badge.svg)](BADGE)

# %%
#@title Setup { display-mode: "form" }
#@markdown Tick to keep everything on Google Drive (Colab asks you for permission). Otherwise it is lost when this
#@markdown machine stops.
on_drive = False #@param {type:"boolean"}

import sys
from pathlib import Path

try:
    from wav2lip_kit import notebook as nb
except ImportError:
    # A copy beside this notebook comes first: a clone, or its zip, uploaded. Then the published one.
    places = [Path.cwd(), *Path.cwd().parents, *Path.cwd().glob("wav2lip*")]
    copies = [p for p in places if p.suffix == ".zip" or (p / "wav2lip_kit" / "notebook.py").is_file()]
    package = f"{copies[0]}[fetch,notebook]" if copies else "wav2lip-kit[fetch,notebook] @ git+REPOSITORY"
    # %pip install --quiet "{package}"
    sys.modules.pop("wav2lip_kit", None)
    from wav2lip_kit import notebook as nb

home = nb.begin(on_drive=on_drive)

# %% [markdown]
# ## If something goes wrong
# | what you see | what to do |
# |---|---|
# | a line that begins with ✗ | it says what is wrong and what to do; change the form, and run the cell again |
# | *Note* and a yellow bar | something works less well than it could; the line says what |
# | `No matching distribution` or `Repository not found` in Setup | get the repository as a zip, upload it beside this notebook (in Colab: the folder symbol at the left), and run Setup again |
# | the machine stopped | run all cells again; with `on_drive` ticked it goes on where it was, without it begins anew |
# | very slow | in Colab choose Runtime ▸ Change runtime type ▸ T4 GPU |
