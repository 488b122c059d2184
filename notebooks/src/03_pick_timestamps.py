# %% [markdown]
# # 3 · Where to sync
# include _shared / Open in Colab
#
# Finds the face, and lets you say from when to when it gets the new words. Everything else stays as it was filmed.
#
# | | |
# |---|---|
# | **takes** | a minute for ten minutes of video on a T4, and as long as you like for the marking |
# | **gives** | the segments of the project, saved at every change |
# | **next** | [04_sync](04_sync.ipynb) |

# %%
# include _shared / Setup

# %%
# include 02_download / Project

# %% {"cellView": "form"}
#@title Speaker
#@markdown Everybody who is seen. Click on whom to sync. Or say who: the `largest` face, who is `talking`, or a person by a
#@markdown point of the picture and a time, such as `640,210@0:35`. Left empty, it stays as it was chosen.
speaker = "" #@param ["", "largest", "talking"] {allow-input: true}

project = nb.open_project(home, project_name)
speakers = nb.pick_speaker(project, speaker)
speakers

# %% {"cellView": "form"}
#@title Segments
#@markdown Where the face was found is marked already. Drag the edges, press **I** and **O** where a segment begins and
#@markdown ends, **?** shows all keys. Or type times, which replace all marks: `0:31-1:00, 1:09-1:24`.
times = "" #@param {type:"string"}

picker = nb.pick_timestamps(project, times, speakers)
picker

# %% {"cellView": "form"}
#@title What will be synced
#@markdown Run this cell again after a change. Green: how high the face is in the picture. Blue: the segments.
nb.show_segments(project)

# %% [markdown]
# The marks are saved. Go on with [04_sync](04_sync.ipynb).
#
# include _shared / If something goes wrong
