# %% [markdown]
# # 2 · Video and audio
# include _shared / Open in Colab
#
# Gets the video of the person, and the audio with the new words; cuts both to the part that you want.
#
# | | |
# |---|---|
# | **takes** | half a minute, and the time of the download; needs no GPU |
# | **gives** | a project: a folder that the next notebooks go on with |
# | **next** | [03_pick_timestamps](03_pick_timestamps.ipynb) |
#
# Use only media that you have the rights to.

# %%
# include _shared / Setup

# %% {"cellView": "form"}
#@title Project
#@markdown One word for this piece of work. All notebooks find it by this name.
project_name = "my_dub" #@param {type:"string"}

# %% {"cellView": "form"}
#@title Video
#@markdown A link (YouTube, Google Drive, or any site that yt-dlp knows), or the path of a video, of an image, or of a
#@markdown folder of frames. Empty: the example.
video = "" #@param {type:"string"}
#@markdown Or a file from your computer.
upload_video = False #@param {type:"boolean"}
#@markdown Some sites, YouTube first of all, refuse cloud machines such as Colab's. Then download the video at home and
#@markdown upload it; or export the cookies of your browser as `cookies.txt`, upload that, and put its path here.
cookies = "" #@param {type:"string"}

video_file = nb.get_video(home, video, upload=upload_video, cookies=cookies)

# %% {"cellView": "form"}
#@title Audio
#@markdown A link or a path, as above; the sound of a video will do. Empty: the example.
audio = "" #@param {type:"string"}
#@markdown Or a file from your computer, or your voice through the microphone.
upload_audio = False #@param {type:"boolean"}
record_audio = False #@param {type:"boolean"}

audio_file = nb.get_audio(home, audio, upload=upload_audio, record=record_audio, cookies=cookies)

# %% {"cellView": "form"}
#@title Trim
#@markdown Which part to use: two times with a dash such as `0:10-2:00`, or `0:10-` up to the end. Empty: all.
trim_video = "" #@param {type:"string"}
trim_audio = "" #@param {type:"string"}

project = nb.create_project(home, project_name, video_file, audio_file, trim=trim_video, trim_audio=trim_audio)
nb.show_source(project)

# %% [markdown]
# Does it begin and end where it should? Then go on with [03_pick_timestamps](03_pick_timestamps.ipynb).
#
# include _shared / If something goes wrong
