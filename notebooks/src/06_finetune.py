# %% [markdown]
# # 6 · Fine-tune
# include _shared / Open in Colab
#
# Lets the network learn one person's mouth from videos in which this person talks. Only worth it for somebody whom you
# dub often: a few minutes of good video are needed.
#
# | | |
# |---|---|
# | **takes** | the minutes that you give it, 30 or more on a T4; a few seconds on the example, only to show the steps |
# | **needs** | videos in which only this person talks, 5 minutes or more in all, with their own sound |
# | **gives** | `my_weights.safetensors`, for the `weights` of [04_sync](04_sync.ipynb) |
#
# Ask the person first. Weights that grew out of the published ones keep their licence: personal, research and
# non-commercial use only.

# %%
# include _shared / Setup

# %% {"cellView": "form"}
#@title Videos
#@markdown A folder of videos, or one video. Empty: the example.
videos = "" #@param {type:"string"}
#@markdown What to start from.
weights = "wav2lip" #@param ["wav2lip", "wav2lip_gan", "demo"] {allow-input: true}
#@markdown How long to learn, in minutes. The example always takes a few seconds.
minutes = 30 #@param {type:"slider", min:5, max:600, step:5}

weights_here = nb.have_weights(weights)

# %% {"cellView": "form"}
#@title Learn
#@markdown You can stop it with the ■ of the cell: run it again, and it goes on.
result = nb.finetune(home, videos, init=weights_here, minutes=minutes)

# %% {"cellView": "form"}
#@title What it learned
#@markdown The error of the mouth, in words and frames that were held out. Lower is better; *wrong sound* is the same with
#@markdown the sound of another moment, and has to be higher, or the network does not listen.
nb.show_training(result)

# %% {"cellView": "form"}
#@title Take it with you
download = False #@param {type:"boolean"}
to_drive = False #@param {type:"boolean"}

nb.hand_over(result.path, download=download, to_drive=to_drive)

# %% [markdown]
# To use it, give its path as `weights` in [04_sync](04_sync.ipynb).
#
# include _shared / If something goes wrong
