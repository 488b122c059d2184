# %% [markdown]
# # Lip-sync in one
# include _shared / Open in Colab
#
# Gives a filmed person new words: a video and an audio in, `final_video.mp4` out. All five steps on one machine.
#
# | | |
# |---|---|
# | **takes** | about 4 minutes on a T4 for the example, 2 of them for the setup; then about twice the length of your video |
# | **needs** | a video with a face, and audio; left as it is, it uses an example that comes along |
# | **gives** | `final_video.mp4`, and `report.json` that says how it was made |
#
# Choose *Runtime ▸ Run all* (Jupyter: *Run ▸ Run All Cells*). You need not know Python: fill in the forms, and run a cell
# with the ▶ at its left.
#
# **Before you begin.** Make only people speak who agreed to it, use only media that you have the rights to, and say that
# the result is synthetic. The published weights are for personal, research and non-commercial use only. Colab has terms
# of its own, which forbid deepfakes; a local Jupyter works as well.

# %% [markdown]
# ## 1 · Setup

# %%
# include _shared / Setup

# %%
# include 01_setup / Weights

# %%
# include 01_setup / What is here

# %% [markdown]
# ## 2 · Video and audio

# %%
# include 02_download / Project

# %%
# include 02_download / Video

# %%
# include 02_download / Audio

# %%
# include 02_download / Trim

# %% [markdown]
# ## 3 · Where to sync

# %%
# include 03_pick_timestamps / Speaker

# %%
# include 03_pick_timestamps / Segments

# %%
# include 03_pick_timestamps / What will be synced

# %% [markdown]
# ## 4 · Sync

# %%
# include 04_sync / Options

# %%
# include 04_sync / Try a moment

# %%
# include 04_sync / Before the long run

# %%
# include 04_sync / Sync

# %% [markdown]
# ## 5 · Combine

# %%
# include 05_combine / Combine

# %%
# include 05_combine / Before and after

# %%
# include 05_combine / How much was changed

# %%
# include 05_combine / Share the comparison

# %%
# include 05_combine / Take it with you

# %% [markdown]
# include _shared / If something goes wrong
