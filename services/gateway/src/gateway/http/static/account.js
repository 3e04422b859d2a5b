// The page /account: sign in, change the own password. The tokens stay in this page's memory: a reload forgets them.
"use strict";

const byId = (id) => document.getElementById(id);
const MAX_SESSIONS_SHOWN = 10;
const session = { token: "", username: "" };

class Refused extends Error {
  // problem: an RFC 9457 document. retryAfterS: seconds of Retry-After, 0 without it.
  constructor(problem, retryAfterS) {
    super(problem.detail);
    this.problem = problem;
    this.retryAfterS = retryAfterS;
  }
}

async function call(path, body) {
  const headers = { Accept: "application/json" };
  if (session.token) headers.Authorization = `Bearer ${session.token}`;
  if (body !== undefined) headers["Content-Type"] = "application/json";
  let answer;
  try {
    answer = await fetch(path, {
      method: body === undefined ? "GET" : "POST",
      headers,
      body: body === undefined ? undefined : JSON.stringify(body),
      cache: "no-store",
    });
  } catch {
    throw new Refused({ detail: "Lookout cannot be reached. Check the network, then try again.", errors: [] }, 0);
  }
  const text = await answer.text();
  let document = {};
  try {
    document = text ? JSON.parse(text) : {};
  } catch {
    document = { detail: `Lookout answered ${answer.status} without a reason.` };
  }
  if (answer.ok) return document;
  const detail = document.detail || `Lookout answered ${answer.status}.`;
  const retryAfterS = Number(answer.headers.get("Retry-After")) || 0;
  throw new Refused({ errors: [], ...document, detail, status: answer.status }, retryAfterS);
}

function clearErrors(form) {
  for (const text of form.querySelectorAll(".error")) text.textContent = "";
  for (const input of form.querySelectorAll("input")) input.removeAttribute("aria-invalid");
}

// errors: [{field, reason}]. Those whose field the form has are shown beside it, and the first of these is focused.
function showErrors(form, detail, errors) {
  const here = errors.filter((error) => form.elements[error.field] && byId(`${error.field}-error`));
  for (const error of here) {
    const text = byId(`${error.field}-error`);
    text.textContent = [text.textContent, sentence(error)].filter(Boolean).join(" ");
    form.elements[error.field].setAttribute("aria-invalid", "true");
  }
  if (here.length === 0) byId(`${form.id}-error`).textContent = detail;
  const first = [...form.elements].find((input) => input.getAttribute("aria-invalid") === "true");
  (first || [...form.elements].find((input) => !input.hidden)).focus();
}

function sentence(error) {
  const label = document.querySelector(`label[for="${error.field}"]`).textContent;
  return `${label}: ${error.reason.replace(/\.$/, "")}.`;
}

function refuse(form, error) {
  if (!(error instanceof Refused)) throw error;
  const wait = error.retryAfterS ? ` Try again in ${error.retryAfterS} seconds.` : "";
  showErrors(form, error.problem.detail + wait, error.problem.errors || []);
}

function announce(text) {
  byId("status").textContent = text;
}

function showSignIn(text) {
  session.token = "";
  for (const input of document.querySelectorAll("input[type=password]")) input.value = "";
  byId("account").hidden = true;
  byId("sign-in").hidden = false;
  announce(text);
  (text ? byId("status") : byId("username")).focus();
}

function fill(list, texts) {
  list.replaceChildren(
    ...texts.map((text) => {
      const item = document.createElement("li");
      item.textContent = text;
      return item;
    }),
  );
}

function plural(count, one, many) {
  return count === 1 ? `1 ${one}` : `${count} ${many}`;
}

function showSessions({ items, total }) {
  const others = total - items.filter((one) => one.is_current).length;
  byId("sessions-text").textContent =
    others === 0
      ? "This one. You are signed in nowhere else."
      : `This one, and ${plural(others, "other session", "other sessions")} of yours, on whichever device: all need the new password.`;
  const format = new Intl.DateTimeFormat("en-GB", { dateStyle: "medium", timeStyle: "short" });
  const shown = items.filter((one, position) => one.is_current || position < MAX_SESSIONS_SHOWN);
  const texts = shown.map(
    (one) => `Signed in on ${format.format(new Date(one.started_at))}${one.is_current ? " (this session)" : ""}`,
  );
  if (total > shown.length) texts.push(`${total - shown.length} more`);
  fill(byId("sessions"), texts);
}

async function showAccount() {
  const [me, sessions, allowed] = await Promise.all([
    call("/api/v1/auth/me"),
    call("/api/v1/auth/sessions"),
    call("/api/v1/auth/permissions"),
  ]);
  session.username = me.username;
  byId("name").textContent = me.username;
  byId("change-username").value = me.username;
  showSessions(sessions);
  const roles = me.roles.length ? `Your roles: ${me.roles.join(", ")}.` : "You have no role.";
  byId("roles").textContent = me.is_superadmin
    ? `${roles} A superadmin may do everything, also what is added later:`
    : roles;
  fill(
    byId("allowed"),
    allowed.length ? allowed.map((one) => (one.description ? `${one.description} (${one.name})` : one.name)) : ["Nothing yet."],
  );
  byId("sign-in").hidden = true;
  byId("account").hidden = false;
  announce("");
  byId("current_password").focus();
}

// Runs work while the form's button is disabled, so that a second press of Enter sends nothing.
function onSubmit(form, work) {
  form.addEventListener("submit", async (event) => {
    event.preventDefault();
    const button = form.querySelector("button[type=submit]");
    if (button.disabled) return;
    clearErrors(form);
    announce("");
    button.disabled = true;
    try {
      await work(form.elements);
    } catch (error) {
      refuse(form, error);
    } finally {
      button.disabled = false;
    }
  });
}

function missing(fields, names) {
  return names.filter((name) => !fields[name].value).map((field) => ({ field, reason: "is required" }));
}

onSubmit(byId("sign-in"), async (fields) => {
  const errors = missing(fields, ["username", "password"]);
  if (errors.length) return showErrors(byId("sign-in"), "", errors);
  const tokens = await call("/api/v1/auth/login", { username: fields.username.value, password: fields.password.value });
  fields.password.value = "";
  session.token = tokens.access_token;
  try {
    await showAccount();
  } catch (error) {
    session.token = "";
    throw error;
  }
});

onSubmit(byId("change"), async (fields) => {
  const errors = missing(fields, ["current_password", "new_password", "repeated_password"]);
  if (fields.repeated_password.value && fields.repeated_password.value !== fields.new_password.value) {
    errors.push({ field: "repeated_password", reason: "is not the same as the new password" });
  }
  if (errors.length) return showErrors(byId("change"), "", errors);
  try {
    await call("/api/v1/auth/password", {
      current_password: fields.current_password.value,
      new_password: fields.new_password.value,
    });
  } catch (error) {
    if (error.problem?.status !== 401) throw error;
    return showSignIn(`Your session has ended: ${error.problem.detail} The password is unchanged.`);
  }
  byId("username").value = session.username;
  showSignIn("Your password is changed, and all your sessions have ended. Sign in with the new password.");
});

byId("sign-out").addEventListener("click", async () => {
  let text = "You are signed out.";
  try {
    await call("/api/v1/auth/logout", {});
  } catch (error) {
    if (!(error instanceof Refused)) throw error;
    if (error.problem.status !== 401) text = `This page has forgotten the session, which has not ended: ${error.problem.detail}`;
  }
  showSignIn(text);
});

byId("sign-in").hidden = false;
byId("username").focus();
