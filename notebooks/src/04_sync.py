# %% [markdown]
# # 4 · Sync
# include _shared / Open in Colab
#
# Gives the mouth the new words. Try a moment first, then let it run.
#
# | | |
# |---|---|
# | **takes** | about as long as the video lasts on a T4; many times longer without a GPU |
# | **gives** | the parts of the result; what is finished is kept when it is interrupted |
# | **next** | [05_combine](05_combine.ipynb) |

# %%
# include _shared / Setup

# %%
# include 02_download / Project

# %%
# include 01_setup / Weights

# %% {"cellView": "form"}
#@title Options
#@markdown When the audio is longer or shorter than the video: `silence` keeps the length of the video, `cut_off` takes
#@markdown the shorter of the two; with `loop` and `bounce` the video repeats for as long as the audio lasts.
fit = "silence" #@param ["silence", "cut_off", "loop", "bounce"]
#@markdown Lips late? A positive number of milliseconds moves them earlier.
shift_ms = 0 #@param {type:"slider", min:-200, max:200, step:10}
#@markdown Quality of the video: 12 is very high, 17 looks the same and is half the size.
crf = 12 #@param {type:"slider", min:0, max:30, step:1}

project = nb.open_project(home, project_name, weights=weights_here, fit=fit, shift_ms=shift_ms, crf=crf)

# %% {"cellView": "form"}
#@title Try a moment
#@markdown When, such as `0:35`; empty for the middle of the longest segment.
try_at = "" #@param {type:"string"}
#@markdown How many seconds; 0 for a single frame.
try_seconds = 1 #@param {type:"slider", min:0, max:5, step:0.5}

nb.show_try(project, try_at, try_seconds)

# %% {"cellView": "form"}
#@title Before the long run
#@markdown Who is seen, what will be synced and what is left alone and why, and about how long it takes here.
nb.show_preflight(project)

# %% {"cellView": "form"}
#@title Sync
#@markdown You can stop it with the ■ of the cell: run it again, and it goes on.
nb.sync(project)

# %% [markdown]
# All parts are there? Go on with [05_combine](05_combine.ipynb).
#
# include _shared / If something goes wrong
