// ECharts 6, loaded once and only by pages that draw a chart. It ships inside the Panel package, so the server has it
// already: nothing is vendored and nothing comes from elsewhere. A page may name another address in
// <meta name="dash-echarts" content="…">.

const BUNDLED = "../static/extensions/panel/bundled/echarts/echarts@6.0.0/dist/echarts.min.js";
let loading = null;

/** @returns {Promise<any>} the `echarts` namespace */
export function loadECharts() {
  if (globalThis.echarts?.init) return Promise.resolve(globalThis.echarts);
  loading ??= new Promise((resolve, reject) => {
    const named = document.querySelector('meta[name="dash-echarts"]')?.content;
    const script = document.createElement("script");
    script.src = named ? new URL(named, document.baseURI).href : new URL(BUNDLED, import.meta.url).href;
    script.onload = () => (globalThis.echarts?.init ? resolve(globalThis.echarts) : reject(new Error("The chart library loaded but is not usable")));
    script.onerror = () => {
      loading = null; // the next tile may try again
      script.remove();
      reject(new Error("The chart library could not be loaded"));
    };
    document.head.append(script);
  });
  return loading;
}
