// Link, connect, check. What is shown is always set as text, never as HTML: claims and messages come from outside.

const AIRFLOW = new URL("../api/v2/", location.href);
const PREFLIGHT = "dags/azure_workload_identity_preflight";
const ENDED = new Set(["success", "failed", "upstream_failed", "skipped", "removed", "up_for_retry"]);

const find = (selector, within = document) => within.querySelector(selector);
const findAll = (selector, within = document) => [...within.querySelectorAll(selector)];
const pause = (milliseconds) => new Promise((resolve) => setTimeout(resolve, milliseconds));
const announce = (text) => {
  find("#announcer").textContent = text;
};

/** What a server refused, in its own words where it has some. */
class Refusal extends Error {
  constructor(status, text) {
    super(text);
    this.status = status;
  }
}

async function request(url, method = "GET", body = undefined) {
  const headers = { Accept: "application/json", ...(body === undefined ? {} : { "Content-Type": "application/json" }) };
  let response;
  try {
    response = await fetch(url, { method, headers, body: JSON.stringify(body), credentials: "same-origin" });
  } catch {
    throw new Refusal(0, "Airflow cannot be reached. Check your network and try again.");
  }
  const text = await response.text();
  let answer = null;
  try {
    answer = JSON.parse(text);
  } catch {
    // An HTML page: that of a refusal, or of a proxy.
  }
  if (!response.ok || answer === null) {
    throw new Refusal(response.status, reasonIn(answer, response.status));
  }
  return answer;
}

function reasonIn(answer, status) {
  const detail = answer?.detail;
  if (Array.isArray(detail)) {
    return detail.map((each) => `${(each.loc ?? []).at(-1)}: ${each.msg}`).join("\n");
  }
  if (typeof detail === "string") {
    return detail;
  }
  if (typeof detail?.reason === "string") {
    return [detail.reason, detail.orig_error].filter(Boolean).join(": ");
  }
  const known = { 401: "You are not signed in to Airflow any more: reload the page.", 403: "Airflow does not let you do this." };
  return known[status] ?? `Airflow answered with HTTP ${status}.`;
}

const airflow = (path, method, body) => request(new URL(path, AIRFLOW), method, body);
const page = (path, body) => request(path, "POST", body);

/** Calls a function once the user has paused; what an earlier call still gets is dropped. */
function afterTyping(action) {
  let timer, latest = 0;
  return () => {
    clearTimeout(timer);
    timer = setTimeout(() => {
      const mine = ++latest;
      action(() => mine === latest);
    }, 250);
  };
}

// Copying and tabs, wherever they are.

document.addEventListener("click", async (event) => {
  const button = event.target.closest("button.copy");
  if (!button) {
    return;
  }
  const text = find("code", button.parentElement).textContent;
  const copied = await copy(text, button);
  button.textContent = copied ? "Copied" : "Press Ctrl+C";
  announce(copied ? "Copied" : "Selected: press Control C to copy");
  setTimeout(() => {
    button.textContent = "Copy";
  }, 2000);
});

async function copy(text, button) {
  try {
    await navigator.clipboard.writeText(text);
    return true;
  } catch {
    // Without https there is no clipboard; select the text, which the older way copies.
    getSelection().selectAllChildren(find("code", button.parentElement));
    return document.execCommand("copy");
  }
}

for (const list of findAll('[role="tablist"]')) {
  const all = findAll('[role="tab"]', list);
  const shown = () => all.filter((tab) => !tab.hidden);
  const choose = (tab) => {
    for (const each of all) {
      each.setAttribute("aria-selected", each === tab);
      each.tabIndex = each === tab ? 0 : -1;
      document.getElementById(each.getAttribute("aria-controls")).hidden = each !== tab;
    }
  };
  list.addEventListener("click", (event) => {
    const tab = event.target.closest('[role="tab"]');
    if (tab) {
      choose(tab);
    }
  });
  list.addEventListener("keydown", (event) => {
    const at = shown().indexOf(document.activeElement);
    const to = { ArrowRight: at + 1, ArrowLeft: at - 1, Home: 0, End: -1 }[event.key];
    if (to !== undefined) {
      event.preventDefault();
      const tab = shown().at(to % shown().length);
      choose(tab);
      tab.focus();
    }
  });
  list.chooseFirst = () => {
    const chosen = all.find((tab) => tab.getAttribute("aria-selected") === "true");
    if (chosen.hidden) {
      choose(shown()[0]);
    }
  };
}

/** Shows texts in the tabs of their names; a tab without a text is not shown. */
function fillTabs(id, texts) {
  for (const tab of findAll(`#${id} [role="tab"]`)) {
    const text = texts[tab.dataset.name];
    tab.hidden = text === undefined;
    find(`#${tab.getAttribute("aria-controls")} code`).textContent = text ?? "";
  }
  find(`#${id} [role="tablist"]`).chooseFirst();
}

/** Shows problems beside their fields; those of a field that is not shown go to the place without a field. */
function showProblems(form, problems, nameOf = (name) => name) {
  const found = {};
  for (const [name, texts] of Object.entries(problems)) {
    const place = find(`[data-problem="${nameOf(name)}"]`, form);
    const shown = place && !place.closest("[hidden]") ? nameOf(name) : "other";
    found[shown] = [...(found[shown] ?? []), ...texts];
  }
  for (const place of findAll("[data-problem]", form)) {
    const texts = found[place.dataset.problem] ?? [];
    place.textContent = texts.join("\n");
    form.elements[place.dataset.problem]?.setAttribute?.("aria-invalid", texts.length > 0);
  }
}

// 1. Link

const linkForm = find("#link");

function showFieldsOfChoices() {
  const values = new FormData(linkForm);
  for (const part of findAll("[data-when]", linkForm)) {
    const [, name, not, value] = part.dataset.when.match(/^(\w+)(!?)=(\w+)$/);
    part.hidden = (values.get(name) === value) === Boolean(not);
  }
}

/** Each choice has its own field for the namespace; the answer calls them all by one name. */
const fieldOf = (name) => (name === "namespace" ? `${linkForm.elements.what.value}_namespace` : name);

function asked() {
  const values = Object.fromEntries(new FormData(linkForm));
  return { ...values, namespace: values[`${values.what}_namespace`] ?? "" };
}

async function link(isLatest) {
  let answer;
  try {
    answer = await page("link", asked());
  } catch (refusal) {
    answer = { problems: { other: [refusal.message] }, missing: [] };
  }
  if (!isLatest()) {
    return;
  }
  showProblems(linkForm, answer.problems, fieldOf);
  const missing = answer.missing.map((name) => find(`label[for="${fieldOf(name)}"]`).firstChild.textContent.trim());
  find("#link-state").textContent = missing.length
    ? `Still needed: ${missing.join(", ")}.`
    : Object.keys(answer.problems).length ? "Correct the fields that are marked above." : "";
  find("#link-result").hidden = !answer.outputs;
  if (answer.outputs) {
    fillTabs("link-output", answer.outputs);
    find("#link-outlook").textContent = answer.outlook.join("\n");
  }
  showQuota(answer.quota);
  find("#link-notes").replaceChildren(...(answer.notes ?? []).map((note) => element("li", note)));
}

function element(name, text) {
  const made = document.createElement(name);
  made.textContent = text;
  return made;
}

function showQuota(quota) {
  find("#quota").hidden = !quota;
  if (!quota) {
    return;
  }
  const meter = find("#quota .meter");
  meter.setAttribute("aria-valuenow", quota.used);
  meter.setAttribute("aria-valuemax", quota.limit);
  meter.classList.toggle("over", quota.used > quota.limit);
  meter.replaceChildren(...Array.from({ length: quota.limit }, (_, index) => {
    const each = document.createElement("span");
    each.className = index < quota.used ? "used" : "";
    return each;
  }));
  find("#quota-text").textContent = quota.summary;
}

if (linkForm) {
  const later = afterTyping(link);
  linkForm.addEventListener("input", () => {
    showFieldsOfChoices();
    later();
  });
  linkForm.addEventListener("submit", (event) => event.preventDefault());
  showFieldsOfChoices();
  later();
}

// 2. Connect

const connectForm = find("#connect");
let connection = null;
let existing = null;

async function connect(isLatest) {
  const { pasted, connection_id } = Object.fromEntries(new FormData(connectForm));
  const show = (answer) => {
    connection = answer.body ?? null;
    showProblems(connectForm, answer.problems);
    find("#connection-fields").hidden = !connection;
    find("#connection-fields").replaceChildren(
      ...(answer.fields ?? []).flatMap(({ label, value }) => [element("dt", label), element("dd", value)]),
    );
    find("#other-formats").hidden = !connection;
    fillTabs("connection-output", answer.outputs ?? {});
    find("#save").disabled = !connection;
    find("#save").textContent = existing ? "Update connection" : "Create connection";
    find("#connection-warning").textContent = (answer.warnings ?? []).join("\n");
  };
  if (!pasted.trim()) {
    show({ problems: {} });
    return;
  }
  let answer, found;
  try {
    [answer, found] = await Promise.all([
      page("connection", { pasted, connection_id }),
      airflow(`connections/${encodeURIComponent(connection_id)}`).catch(() => null),
    ]);
  } catch (refusal) {
    answer = { problems: { pasted: [refusal.message] } };
  }
  if (isLatest()) {
    existing = found;
    if (answer.body && existing) {
      const type = existing.conn_type === answer.body.conn_type ? "" : ` of the type ${existing.conn_type}`;
      answer.warnings = [...answer.warnings, `There is a connection ${connection_id}${type}. Updating it replaces what it holds.`];
    }
    show(answer);
  }
}

async function save() {
  const said = find("#saved");
  find("#save").disabled = true;
  said.textContent = "";
  const id = connection.connection_id;
  try {
    if (existing) {
      const mask = Object.keys(connection).map((name) => `update_mask=${name}`).join("&");
      await airflow(`connections/${encodeURIComponent(id)}?${mask}`, "PATCH", connection);
    } else {
      await airflow("connections", "POST", connection);
    }
    said.textContent = existing ? `Updated connection ${id}.` : `Created connection ${id}.`;
    existing = connection;
    find("#save").textContent = "Update connection";
    find("#open-connection").hidden = false;
    find("#open-connection").href = `../connections?name_pattern=${encodeURIComponent(id)}`;
    if (find("#checked")) {
      find("#checked").value = id;
      find("#known").append(new Option(id, id));
    }
  } catch (refusal) {
    said.textContent = refusal.message;
  }
  find("#save").disabled = false;
}

if (connectForm) {
  const later = afterTyping(connect);
  connectForm.addEventListener("input", () => {
    find("#saved").textContent = "";
    later();
  });
  connectForm.addEventListener("submit", (event) => {
    event.preventDefault();
    save();
  });
}

// The sandbox of the frame keeps links within it; the page around it may leave.
document.addEventListener("click", (event) => {
  const followed = event.target.closest("a[data-airflow]");
  if (followed && window.parent !== window) {
    event.preventDefault();
    const outside = window.parent.document.createElement("a");
    outside.href = followed.href;
    outside.click();
  }
});

// 3. Check

const checkForm = find("#check");

const placeOf = (name) => find(`.place[data-place="${name}"]`);

function showState(name, status, label, text) {
  const chip = find(".chip", placeOf(name));
  chip.dataset.status = status;
  chip.textContent = label;
  find(".verdict", placeOf(name)).textContent = text;
}

function showReport(name, report) {
  const failed = report.checks.filter((check) => check.status === "failed");
  const verdict = failed.length ? `Failed: ${failed.map((check) => check.name).join(", ")}.` : report.signedIn ?? "No sign-in was made.";
  showState(name, report.ok ? "ok" : "failed", report.ok ? "ok" : "failed", verdict);
  // What failed comes first; the others keep their order, in which each needs those before it.
  const rows = [...failed, ...report.checks.filter((check) => check.status !== "failed")].map(rowOf);
  if (report.remark) {
    rows.push(rowOf({ name: "not checked", status: "skipped", found: report.remark.text, commands: report.remark.commands }));
  }
  find(".checks", placeOf(name)).replaceChildren(...rows);
  placeOf(name).open = !report.ok;
}

function rowOf(check) {
  const row = find("#check-row").content.firstElementChild.cloneNode(true);
  find(".chip", row).dataset.status = check.status;
  find(".chip", row).textContent = check.status;
  find("h4", row).textContent = check.name;
  find(".found", row).textContent = check.found;
  find(".next", row).textContent = check.nextStep ? `Next step: ${check.nextStep}` : "";
  for (const command of check.commands) {
    const shown = find("#command").content.firstElementChild.cloneNode(true);
    find("code", shown).textContent = command;
    row.lastElementChild.append(shown);
  }
  return row;
}

async function checkHere(conn_id) {
  showState("server", "running", "running", "Signing in...");
  try {
    showReport("server", await page("check", { connection_id: conn_id }));
  } catch (refusal) {
    showState("server", "failed", "failed", refusal.message);
  }
}

/** Runs the preflight DAG as the user who is signed in, and shows what its two tasks find. */
async function checkElsewhere(conn_id, isLatest) {
  const names = ["on_worker", "in_triggerer"];
  const all = (...state) => names.forEach((name) => showState(name, ...state));
  all("running", "running", "Starting the DAG azure_workload_identity_preflight...");
  let run;
  try {
    const dag = await airflow(PREFLIGHT);
    if (dag.is_paused) {
      await airflow(`${PREFLIGHT}?update_mask=is_paused`, "PATCH", { is_paused: false });
    }
    run = await airflow(`${PREFLIGHT}/dagRuns`, "POST", { logical_date: null, conf: { conn_id } });
  } catch (refusal) {
    const isAbsent = refusal.status === 404;
    find("#no-preflight").hidden = !isAbsent;
    all("skipped", "skipped", isAbsent ? "The preflight DAG is not in this deployment: see below." : refusal.message);
    return;
  }
  const path = `${PREFLIGHT}/dagRuns/${encodeURIComponent(run.dag_run_id)}`;
  const waiting = new Set(names);
  for (const started = Date.now(); waiting.size && isLatest(); await pause(1000)) {
    let tasks;
    try {
      tasks = (await airflow(`${path}/taskInstances`)).task_instances;
    } catch (refusal) {
      waiting.forEach((name) => showState(name, "failed", "failed", refusal.message));
      return;
    }
    for (const { task_id, state } of tasks.filter((task) => waiting.has(task.task_id))) {
      if (ENDED.has(state)) {
        waiting.delete(task_id);
        await showReportOfTask(task_id, path, state);
      } else {
        const seconds = Math.round((Date.now() - started) / 1000);
        showState(task_id, "running", "running", `The task is ${state ?? "not scheduled yet"} (${seconds} s).`);
      }
    }
  }
}

async function showReportOfTask(name, path, state) {
  try {
    const { value } = await airflow(`${path}/taskInstances/${name}/xcomEntries/report`);
    showReport(name, typeof value === "string" ? JSON.parse(value) : value);
  } catch (refusal) {
    const found = refusal.status === 404 ? `The task ended as ${state} without a report: see its log.` : refusal.message;
    showState(name, state === "success" ? "warning" : "failed", state, found);
  }
}

if (checkForm) {
  let latest = 0;
  checkForm.addEventListener("submit", async (event) => {
    event.preventDefault();
    const conn_id = find("#checked").value.trim();
    if (!conn_id) {
      find("#checked").focus();
      return;
    }
    const mine = ++latest;
    find("#places").hidden = false;
    find("#no-preflight").hidden = true;
    findAll(".checks").forEach((checks) => checks.replaceChildren());
    await Promise.all([checkHere(conn_id), checkElsewhere(conn_id, () => mine === latest)]);
  });
}
