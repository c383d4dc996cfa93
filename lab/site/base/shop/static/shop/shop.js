// Dates as the visitor writes them.
for (const time of document.querySelectorAll("time[datetime]")) {
  time.textContent = new Date(time.getAttribute("datetime")).toLocaleString();
}
