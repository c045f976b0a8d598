"use strict";

// Airflow's page keeps the colours that its user has chosen under this name; without it, or with "system", those of the
// operating system are shown. https://github.com/apache/airflow: airflow-core/src/airflow/ui/src/context/colorMode
const show = () => {
  let chosen = null;
  try {
    chosen = localStorage.getItem("theme");
  } catch {
    // Storage may be blocked.
  }
  document.documentElement.dataset.theme = chosen === "dark" || chosen === "light" ? chosen : "system";
};

show();
addEventListener("storage", show);
