"use strict";
/* Everything works without this file. It makes progress live, asks before deleting in place, and saves a second sending. */

const POLL_MS = 1000;
const POLL_HIDDEN_MS = 5000;

function followProgress() {
  if (!document.querySelector("[data-progress][data-live]")) return;
  const again = () => setTimeout(look, document.hidden ? POLL_HIDDEN_MS : POLL_MS);
  async function look() {
    let answer;
    try {
      answer = await fetch(location.href, { cache: "no-store" });
    } catch {
      return again();
    }
    if (answer.redirected) return location.replace(answer.url);
    if (answer.status === 503 || answer.status === 429) return again();
    if (answer.status !== 200) return location.reload();
    show(new DOMParser().parseFromString(await answer.text(), "text/html"));
  }
  function show(page) {
    const now = document.querySelector("[data-progress]");
    const next = page.querySelector("[data-progress]");
    if (!next) return location.reload();
    if (!next.hasAttribute("data-live")) {
      document.title = page.title;
      now.replaceWith(document.adoptNode(next));
      return;
    }
    const status = now.querySelector("[data-status]");
    const said = next.querySelector("[data-status]").textContent;
    if (status.textContent !== said) status.textContent = said;
    for (const part of [".steps", ".hint"]) {
      const fresh = next.querySelector(part);
      if (fresh.innerHTML !== now.querySelector(part).innerHTML) now.querySelector(part).replaceWith(fresh);
    }
    now.dataset.stage = next.dataset.stage;
    again();
  }
  again();
}

function askInPlace() {
  for (const link of document.querySelectorAll("[data-dialog]")) {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog || !dialog.showModal) continue;
    link.addEventListener("click", (event) => {
      event.preventDefault();
      dialog.showModal();
    });
    link.setAttribute("aria-haspopup", "dialog");
    dialog.querySelector("[data-close]").addEventListener("click", () => dialog.close());
  }
}

function newKey(form) {
  const action = new URL(form.action);
  const random = crypto.getRandomValues(new Uint8Array(12));
  action.searchParams.set("key", "form_" + Array.from(random, (byte) => byte.toString(16).padStart(2, "0")).join(""));
  form.action = action;
}

function sendOnce() {
  for (const form of document.querySelectorAll("form[method=post]")) {
    const button = form.querySelector("button[type=submit]");
    if (!button) continue;
    form.addEventListener("submit", (event) => {
      if (form.dataset.sent) return event.preventDefault();
      form.dataset.sent = "yes";
      button.setAttribute("aria-disabled", "true");
      button.dataset.label = button.textContent;
      button.textContent = "One moment…";
    });
    addEventListener("pageshow", () => {
      if (!form.dataset.sent) return;
      delete form.dataset.sent;
      button.removeAttribute("aria-disabled");
      button.textContent = button.dataset.label;
      if (form.hasAttribute("data-generate")) newKey(form);
    });
  }
}

function checkFiles() {
  for (const input of document.querySelectorAll("input[type=file][data-bytes-max]")) {
    const preview = document.createElement("img");
    preview.className = "preview";
    preview.alt = "";
    preview.hidden = true;
    input.after(preview);
    preview.addEventListener("error", () => (preview.hidden = true));
    input.addEventListener("change", () => {
      const file = input.files[0];
      const most = Number(input.dataset.bytesMax);
      const isLarge = Boolean(file) && file.size > most;
      input.setCustomValidity(isLarge ? `This file is larger than ${most / 1048576} MB.` : "");
      if (isLarge) input.reportValidity();
      if (preview.src) URL.revokeObjectURL(preview.src);
      preview.hidden = !file || isLarge;
      if (!preview.hidden) preview.src = URL.createObjectURL(file);
    });
  }
}

function tellLocalTimes() {
  const words = new Intl.DateTimeFormat(document.documentElement.lang, { dateStyle: "long", timeStyle: "short" });
  for (const time of document.querySelectorAll("time[datetime]")) {
    time.title = time.textContent;
    time.textContent = words.format(new Date(time.dateTime));
  }
}

function forgetMessage() {
  if (!document.querySelector("[data-once]")) return;
  const address = new URL(location.href);
  address.searchParams.delete("deleted");
  address.searchParams.delete("deleting");
  history.replaceState(null, "", address);
}

function offerGoogle() {
  const place = document.querySelector("[data-google]");
  if (!place) return;
  const form = document.querySelector("[data-google-form]");
  const start = () => {
    if (!window.google || !google.accounts || place.dataset.ready) return;
    place.dataset.ready = "yes";
    document.querySelector("[data-google-missing]").hidden = true;
    google.accounts.id.initialize({
      client_id: place.dataset.google,
      callback: (answer) => {
        const field = document.createElement("input");
        field.type = "hidden";
        field.name = "credential";
        field.value = answer.credential;
        form.append(field);
        form.submit();
      },
    });
    google.accounts.id.renderButton(place, { theme: "outline", size: "large" });
  };
  start();
  addEventListener("load", start);
}

followProgress();
askInPlace();
sendOnce();
checkFiles();
tellLocalTimes();
forgetMessage();
offerGoogle();
