# %% [markdown]
# # 5 · Combine
# include _shared / Open in Colab
#
# Joins all parts and the new audio to `final_video.mp4`, shows it beside the source, and hands it over.
#
# | | |
# |---|---|
# | **takes** | about a minute on a T4 |
# | **gives** | `final_video.mp4`, and `report.json` that says how it was made |
#
# The file carries a note that its mouth was changed by a network. Leave it in, and tell your audience.

# %%
# include _shared / Setup

# %%
# include 02_download / Project

# %% {"cellView": "form"}
#@title Combine
#@markdown Renders what is missing, then joins it.
project = nb.open_project(home, project_name)
final_video = nb.combine(project)
nb.show_result(project)

# %% {"cellView": "form"}
#@title Before and after
#@markdown From when on, such as `0:35`; empty for the first segment.
compare_at = "" #@param {type:"string"}

nb.show_comparison(project, compare_at)

# %% {"cellView": "form"}
#@title How much was changed
nb.show_quality(project)

# %% {"cellView": "form"}
#@title Share the comparison
#@markdown A short piece of before and after, side by side, from the time above on.
kind = "gif" #@param ["gif", "mp4", "none"]
seconds = 4 #@param {type:"slider", min:1, max:30, step:1}

comparison = nb.export(project, kind, at=compare_at, seconds=seconds)

# %% {"cellView": "form"}
#@title Take it with you
#@markdown Save it through the browser, or copy it to Google Drive (both in Colab; elsewhere it lies in the folder).
download = False #@param {type:"boolean"}
to_drive = False #@param {type:"boolean"}

nb.hand_over(final_video, download=download, to_drive=to_drive)

# %% [markdown]
# include _shared / If something goes wrong
