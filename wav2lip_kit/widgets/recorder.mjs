// Records with the browser's microphone and sends the file to Python, in chunks.

const CHUNK_BYTES = 500_000;

export default { render };

function render({ model, el }) {
  const button = document.createElement("button");
  const told = document.createElement("span");
  const audio = document.createElement("audio");
  button.textContent = "● Record";
  button.style.cssText = "font:inherit; padding:6px 14px; margin-right:12px; cursor:pointer";
  told.setAttribute("role", "status");
  audio.controls = true;
  audio.style.cssText = "display:none; margin-top:8px";
  el.append(button, told, audio);

  let recorder = null;
  let clock = 0;

  button.onclick = async () => {
    if (recorder) {
      recorder.stop();
      return;
    }
    try {
      start(await navigator.mediaDevices.getUserMedia({ audio: true }));
    } catch (error) {
      told.textContent = `No microphone (${error.message}): allow it beside the address of this page, or upload a file.`;
    }
  };

  function start(stream) {
    const parts = [];
    const began = Date.now();
    recorder = new MediaRecorder(stream);
    recorder.ondataavailable = (event) => parts.push(event.data);
    recorder.onstop = async () => {
      clearInterval(clock);
      stream.getTracks().forEach((track) => track.stop());
      const blob = new Blob(parts, { type: recorder.mimeType });
      recorder = null;
      button.textContent = "● Record again";
      told.textContent = "Saving …";
      audio.src = URL.createObjectURL(blob);
      audio.style.display = "block";
      await send(blob);
    };
    recorder.start();
    button.textContent = "■ Stop";
    clock = setInterval(() => (told.textContent = `${Math.round((Date.now() - began) / 1000)} s`), 500);
  }

  async function send(blob) {
    const data = await blob.arrayBuffer();
    const count = Math.max(1, Math.ceil(data.byteLength / CHUNK_BYTES));
    for (let index = 0; index < count; index += 1) {
      const chunk = data.slice(index * CHUNK_BYTES, (index + 1) * CHUNK_BYTES);
      model.send({ index, count, type: blob.type }, undefined, [chunk]);
    }
  }

  const tell = () => (told.textContent = `Saved as ${model.get("saved")}. Now run this cell again.`);
  model.on("change:saved", tell);
  return () => {
    model.off("change:saved", tell);
    clearInterval(clock);
    recorder?.stop();
  };
}
