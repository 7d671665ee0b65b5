// What pages can do beyond what they do without script. Nothing here is needed but for copying.
"use strict";
(() => {
  const all = (selector, within = document) => [...within.querySelectorAll(selector)];

  // Says something to who does not see the page.
  const said = document.getElementById("said");
  const say = (text) => {
    said.textContent = "";
    setTimeout(() => (said.textContent = text), 100);
  };

  // A reload asks for the page, and repeats no command and no message.
  const { address } = document.body.dataset;
  if (address) history.replaceState(null, "", address);

  // Times on the visitor's own clock, and in which zone that is: elsewhere days are those of UTC.
  const parts = { year: "numeric", month: "short", day: "numeric", hour: "numeric", minute: "2-digit" };
  const local = new Intl.DateTimeFormat(undefined, { ...parts, timeZoneName: "short" });
  for (const time of all("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (Number.isNaN(at.getTime())) continue;
    time.title = time.textContent;
    time.textContent = local.format(at);
  }

  // A secret leaves with its page: a page that a browser keeps to go back to has none.
  addEventListener("pagehide", () => all("[data-once]").forEach((shown) => shown.remove()));

  // A page that was kept may show what is no longer so: it is asked for anew, and never by sending its form again.
  addEventListener("pageshow", (event) => {
    if (event.persisted) location.replace(location.pathname + location.search);
  });

  // A form on its way is not sent again: the second answer would take the place of the first one, and of the secret in it. After a
  // while it may, for who has stopped the first.
  const sent = new WeakSet();
  addEventListener("submit", (event) => {
    const form = event.target;
    if (form.method !== "post") return;
    if (sent.has(form)) event.preventDefault();
    sent.add(form);
    setTimeout(() => sent.delete(form), 10_000);
  });

  const copy = async (source) => {
    // Only where the page came over TLS, or from this machine.
    if (navigator.clipboard) return navigator.clipboard.writeText(source.textContent);
    getSelection().selectAllChildren(source);
    const done = document.execCommand("copy");
    getSelection().removeAllRanges();
    if (!done) throw new Error("not copied");
  };
  for (const button of all("button[data-copy]")) {
    const label = button.querySelector("[data-label]");
    const before = label.textContent;
    let timer;
    button.hidden = false;
    button.addEventListener("click", async () => {
      const source = document.getElementById(button.dataset.copy);
      if (!source) return;
      let after = "Copied";
      try {
        await copy(source);
      } catch {
        getSelection().selectAllChildren(source);
        after = "Press Ctrl+C";
      }
      label.textContent = after;
      button.classList.toggle("done", after === "Copied");
      say(after === "Copied" ? `${button.dataset.what} copied.` : `Could not copy. Press Ctrl+C.`);
      clearTimeout(timer);
      timer = setTimeout(() => {
        label.textContent = before;
        button.classList.remove("done");
      }, 2500);
    });
  }

  // Menus close by Escape, and where the focus or a click goes elsewhere.
  const menus = all("details.menu");
  for (const menu of menus) {
    menu.addEventListener("keydown", (event) => {
      if (event.key !== "Escape" || !menu.open) return;
      menu.open = false;
      menu.querySelector("summary").focus();
    });
    menu.addEventListener("focusout", (event) => {
      if (event.relatedTarget && !menu.contains(event.relatedTarget)) menu.open = false;
    });
  }
  addEventListener("click", (event) => {
    for (const menu of menus) if (!menu.contains(event.target)) menu.open = false;
  });

  // Questions are asked in place, and not on a page of their own: the link says which dialog, and what about.
  for (const link of all("a[data-dialog]")) {
    const dialog = document.getElementById(link.dataset.dialog);
    if (!dialog?.showModal) continue;
    link.setAttribute("role", "button");
    link.setAttribute("aria-haspopup", "dialog");
    link.addEventListener("keydown", (event) => {
      if (event.key !== " ") return;
      event.preventDefault();
      link.click();
    });
    link.addEventListener("click", (event) => {
      if (event.ctrlKey || event.metaKey || event.shiftKey) return;
      event.preventDefault();
      for (const slot of all("[data-from]", dialog)) {
        const value = link.dataset[slot.dataset.from] ?? "";
        if (slot instanceof HTMLInputElement) slot.value = value;
        else slot.textContent = value;
      }
      const menu = link.closest("details");
      dialog.addEventListener(
        "close",
        () => {
          if (menu) menu.open = false;
          (menu?.querySelector("summary") ?? link).focus();
        },
        { once: true },
      );
      dialog.showModal();
    });
  }
  for (const button of all("dialog [data-close]")) {
    button.addEventListener("click", (event) => {
      event.preventDefault();
      button.closest("dialog").close();
    });
  }
})();
