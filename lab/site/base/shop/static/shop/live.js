// A socket that is opened again as soon as the server closes it: after a deployment, by the new release.
const show = (id, text) => { document.getElementById(id).textContent = text; };
const note = (text) => {
  const line = document.createElement("li");
  line.textContent = `${new Date().toLocaleTimeString()} ${text}`;
  document.getElementById("log").prepend(line);
};
let pause = 0;

function open() {
  const socket = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/ws/live`);
  socket.onmessage = (event) => {
    const told = JSON.parse(event.data);
    pause = 0;
    show("release", told.release);
    show("served-by", told.served_by);
    note(`release ${told.release} answers`);
  };
  socket.onclose = (event) => {
    note(`closed with ${event.code}`);
    // 1012, "service restart", is the wish to come back; anything else may be a fault that lasts.
    pause = event.code === 1012 ? 0 : Math.min(pause * 2 + 500, 10000);
    setTimeout(open, pause);
  };
}

open();
