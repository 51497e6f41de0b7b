// The router draws the page; this only puts a fresh <main> in place of the old
// one. Nothing else of the answer is parsed: its style has another nonce.
setInterval(async () => {
  if (document.hidden) return;
  try {
    const answer = await fetch("/", { signal: AbortSignal.timeout(5000) });
    if (!answer.ok) throw new Error(answer.status);
    const [, main] = (await answer.text()).split(/<\/?main>/);
    document.querySelector("main").innerHTML = main;
    document.body.classList.remove("lost");
  } catch {
    document.body.classList.add("lost");
  }
}, 2000);
