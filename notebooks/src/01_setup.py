# %% [markdown]
# # 1 · Setup
# include _shared / Open in Colab
#
# Installs what is needed, fetches the weights of the network, and tells what this machine can do.
#
# | | |
# |---|---|
# | **takes** | about 2 minutes in Colab with a T4 |
# | **gives** | a machine that is ready |
# | **next** | [02_download](02_download.ipynb), or all five steps at once in [lipsync_in_one](lipsync_in_one.ipynb) |
#
# **To run a notebook**, choose *Runtime ▸ Run all* (Jupyter: *Run ▸ Run All Cells*). You need not know Python: fill in the
# forms, and run a cell with the ▶ at its left. Left as they are, they use a small example that comes along.
#
# In Colab **each notebook has a machine of its own**. To go from one to the next, tick `on_drive` in all of them. On
# your own computer all share one folder, and everything works as well.

# %% [markdown]
# ### Before you begin
# - **Make only people speak who agreed to it**, and say that the result is synthetic.
# - **The published weights are for personal, research and non-commercial use only**: that is the licence of the recordings
#   that they were trained on. Our own `demo` weights are free, but made for drawn faces.
# - **Colab's terms forbid deepfakes**, and Colab may warn you or stop a machine. They are Google's own rules: read them.
# - **A local Jupyter works as well**, with the same notebooks; a GPU makes it fast.

# %%
# include _shared / Setup

# %% {"cellView": "form"}
#@title Weights
#@markdown `wav2lip` is steadier, `wav2lip_gan` is sharper; each is 436 MB. `demo` is small, and for drawn
#@markdown faces. Or the path of weights of your own.
weights = "wav2lip" #@param ["wav2lip", "wav2lip_gan", "demo"] {allow-input: true}

weights_here = nb.have_weights(weights)

# %% {"cellView": "form"}
#@title What is here
#@markdown A red ✗ needs a look; the line below it says what to do.
nb.show_doctor(weights)

# %% [markdown]
# include _shared / If something goes wrong
