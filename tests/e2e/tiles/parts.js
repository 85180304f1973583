// The harness's page of parts: lists, badges, forms, code, states.
import { mountPipelines, mountRecords } from "/assets/live-list.js";

mountPipelines(document.querySelector("#pipelines"), { liveUrl: "/live", timezone: "Europe/Oslo" });
mountRecords(document.querySelector("#records"), { liveUrl: "/live", pipeline: "records", timezone: "Europe/Oslo" });
