// Draws the clouds that scene.json lists, with WebGL and nothing else.
"use strict";

const BY_LAYER = "layer";
const TABLE_SIZE = 8; // colours that the shader holds, at least as many as any colouring has
const CLOUDS_KEPT = 40; // frames kept in memory
const POINT_SIZES_PX = [1, 20];
const UNKNOWN = -2e30; // stands for NaN, which shaders need not know

const VERTEX_SHADER = `
  attribute vec3 place;
  attribute float value;
  uniform mat4 toScreen;
  uniform float sizePx;
  uniform vec2 bounds;
  uniform vec3 plain;
  uniform vec3 table[${TABLE_SIZE}];
  uniform float lastStep; // of the table; below 0: all points are plain
  varying vec3 color;
  void main() {
    gl_Position = toScreen * vec4(place, 1.0);
    gl_PointSize = sizePx;
    color = plain;
    if (lastStep >= 0.0 && value > float(${(0.5 * UNKNOWN).toExponential(1)})) {
      float at = clamp((value - bounds.x) / (bounds.y - bounds.x), 0.0, 1.0) * lastStep;
      for (int i = 0; i < ${TABLE_SIZE - 1}; i++) {
        float low = float(i);
        if (at >= low && low < lastStep) color = mix(table[i], table[i + 1], min(at - low, 1.0));
      }
    }
  }`;
const FRAGMENT_SHADER = `
  precision mediump float;
  varying vec3 color;
  void main() { gl_FragColor = vec4(color, 1.0); }`;

const find = (id) => document.getElementById(id);
const canvas = find("canvas");
const gl = canvas.getContext("webgl", { antialias: true, preserveDrawingBuffer: true });
const frames = new Map(); // number -> promise of its clouds, the latest used last
let scene, program, where, rings;
let clouds = []; // of the frame that is shown
const state = { frame: 0, coloring: BY_LAYER, sizePx: 2, playing: false, camera: null };

// ---- small vectors ------------------------------------------------------------------------
const add = (a, b, scale = 1) => a.map((value, i) => value + scale * b[i]);
const dot = (a, b) => a.reduce((sum, value, i) => sum + value * b[i], 0);
const cross = (a, b) => [0, 1, 2].map((i) => {
  const [j, k] = [(i + 1) % 3, (i + 2) % 3];
  return a[j] * b[k] - a[k] * b[j];
});
const unit = (a) => a.map((value) => value / Math.hypot(...a));
const rgb = (color) => [1, 3, 5].map((at) => parseInt(color.slice(at, at + 2), 16) / 255);

function axesOf({ eye_m, target_m }) {
  const back = unit(add(eye_m, target_m, -1));
  const right = unit(cross([0, 0, 1], back));
  return { right, up: cross(back, right), back };
}

// Columns first, as WebGL takes it.
function screenMatrix(camera, aspect) {
  const { right, up, back } = axesOf(camera);
  const [near, far] = [0.1, 2000];
  const focal = 1 / Math.tan((camera.field_of_view_deg * Math.PI) / 360);
  const depth = [(far + near) / (near - far), (2 * far * near) / (near - far)];
  const [x, y, z] = [right, up, back].map((axis) => [...axis, -dot(axis, camera.eye_m)]);
  return new Float32Array([0, 1, 2, 3].flatMap((i) => [
    (focal / aspect) * x[i], focal * y[i], depth[0] * z[i] + (i === 3 ? depth[1] : 0), -z[i],
  ]));
}

// ---- clouds -------------------------------------------------------------------------------
function toBuffer(array) {
  const buffer = gl.createBuffer();
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.bufferData(gl.ARRAY_BUFFER, array, gl.STATIC_DRAW);
  return buffer;
}

async function fetchCloud(path, columns) {
  const answer = await fetch(path);
  if (!answer.ok) throw new Error(`${path}: ${answer.status} ${answer.statusText}`);
  // Little-endian, as is every machine that runs a browser.
  const read = new Float32Array(await answer.arrayBuffer());
  const values = read.map((value) => (Number.isNaN(value) ? UNKNOWN : value));
  return { buffer: toBuffer(values), count: values.length / columns };
}

function fetchFrame(number) {
  const known = frames.get(number);
  const found = known ?? Promise.all(scene.layers.map(({ name, columns }) => (
    fetchCloud(`clouds/${number}-${name}.bin`, columns.length))));
  frames.delete(number);
  frames.set(number, found);
  if (!known) found.catch(() => frames.delete(number));
  for (const [old, pending] of frames) {
    if (frames.size <= CLOUDS_KEPT) break;
    frames.delete(old);
    pending.then((dropped) => dropped.forEach(({ buffer }) => gl.deleteBuffer(buffer)), () => {});
  }
  return found;
}

// ---- drawing ------------------------------------------------------------------------------
function makeProgram() {
  const made = gl.createProgram();
  for (const [kind, text] of [[gl.VERTEX_SHADER, VERTEX_SHADER], [gl.FRAGMENT_SHADER, FRAGMENT_SHADER]]) {
    const shader = gl.createShader(kind);
    gl.shaderSource(shader, text);
    gl.compileShader(shader);
    gl.attachShader(made, shader);
  }
  gl.linkProgram(made);
  if (!gl.getProgramParameter(made, gl.LINK_STATUS)) throw new Error(gl.getProgramInfoLog(made));
  return made;
}

function drawCloud({ buffer, count }, columns, color, sizePx) {
  const column = columns.indexOf(state.coloring === "height" ? "z" : state.coloring);
  const coloring = column < 0 ? null : scene.colorings[state.coloring];
  const stride = 4 * columns.length;
  gl.bindBuffer(gl.ARRAY_BUFFER, buffer);
  gl.vertexAttribPointer(where.place, 3, gl.FLOAT, false, stride, 0);
  gl.vertexAttribPointer(where.value, 1, gl.FLOAT, false, stride, 4 * Math.max(column, 0));
  gl.uniform1f(where.sizePx, sizePx * (window.devicePixelRatio || 1));
  gl.uniform3fv(where.plain, rgb(color));
  gl.uniform1f(where.lastStep, coloring ? coloring.colors.length - 1 : -1);
  if (coloring) {
    const table = new Float32Array(3 * TABLE_SIZE);
    table.set(coloring.colors.flatMap(rgb));
    gl.uniform3fv(where.table, table);
    gl.uniform2fv(where.bounds, coloring.bounds);
  }
  gl.drawArrays(gl.POINTS, 0, count);
}

function draw() {
  const scale = window.devicePixelRatio || 1;
  canvas.width = Math.round(canvas.clientWidth * scale);
  canvas.height = Math.round(canvas.clientHeight * scale);
  gl.viewport(0, 0, canvas.width, canvas.height);
  gl.clearColor(...rgb(scene.background), 1);
  gl.clear(gl.COLOR_BUFFER_BIT | gl.DEPTH_BUFFER_BIT);
  gl.uniformMatrix4fv(where.toScreen, false, screenMatrix(state.camera, canvas.width / canvas.height));
  drawCloud(rings, ["x", "y", "-"], scene.ring_color, 1);
  scene.layers.forEach((layer, i) => {
    if (layer.visible && clouds[i]) drawCloud(clouds[i], layer.columns, layer.color, state.sizePx * layer.size);
  });
}

let asked = false;
function redraw() {
  if (asked) return;
  asked = true;
  requestAnimationFrame(() => {
    asked = false;
    draw();
  });
}

// ---- what the page says -------------------------------------------------------------------
function tell() {
  find("name").textContent = scene.frames[state.frame];
  find("slider").value = state.frame;
  find("count").textContent = `${state.frame + 1} / ${scene.frames.length}`;
  find("play").textContent = state.playing ? "Pause" : "Play";
  find("coloring").value = state.coloring;
  scene.layers.forEach((layer, i) => {
    const label = find("layers").children[i];
    const points = clouds[i]?.count === 1 ? "point" : "points";
    const count = clouds[i] ? `${clouds[i].count.toLocaleString("en")} ${points}` : "loading";
    label.className = layer.visible ? "" : "off";
    label.querySelector("input").checked = layer.visible;
    label.querySelector("span").textContent = `${layer.name}: ${count}${layer.visible ? "" : " (hidden)"}`;
  });
  const coloring = scene.colorings[state.coloring];
  find("scale").hidden = !coloring;
  if (coloring) {
    find("label").textContent = coloring.label;
    find("bar").style.background = `linear-gradient(to right, ${coloring.colors.join(", ")})`;
    coloring.bounds.forEach((bound, i) => (find("ends").children[i].textContent = bound.toFixed(1)));
  }
  redraw();
}

function complain(error) {
  state.playing = false;
  find("error").hidden = false;
  find("error").textContent = error.message;
}

// ---- what the user does -------------------------------------------------------------------
async function goTo(number) {
  const count = scene.frames.length;
  state.frame = ((number % count) + count) % count;
  const wanted = state.frame;
  try {
    const found = await fetchFrame(wanted);
    if (state.frame !== wanted) return; // overtaken by a later step
    clouds = found;
    find("error").hidden = true;
    document.body.dataset.shown = scene.frames[wanted];
    if (count > 1) fetchFrame((wanted + 1) % count).catch(() => {});
  } catch (error) {
    complain(error);
  }
  tell();
}

async function play() {
  state.playing = !state.playing;
  tell();
  while (state.playing) {
    await new Promise((done) => setTimeout(done, 1000 / scene.frames_per_s));
    if (state.playing) await goTo(state.frame + 1);
  }
}

function toggle(number) {
  const names = ["radar", "enhanced", "lidar"];
  const layer = scene.layers.find(({ name }) => name === names[number]);
  if (layer) layer.visible = !layer.visible;
  tell();
}

function nextColoring() {
  const names = [BY_LAYER, ...Object.keys(scene.colorings)];
  state.coloring = names[(names.indexOf(state.coloring) + 1) % names.length];
  tell();
}

function resize(change_px) {
  state.sizePx = Math.min(Math.max(state.sizePx + change_px, POINT_SIZES_PX[0]), POINT_SIZES_PX[1]);
  redraw();
}

// The file is the one that --camera reads.
function saveCamera() {
  const link = document.createElement("a");
  link.href = URL.createObjectURL(new Blob([JSON.stringify(state.camera, null, 2)]));
  link.download = "camera.json";
  link.click();
  URL.revokeObjectURL(link.href);
}

function resetCamera() {
  state.camera = structuredClone(scene.camera);
  redraw();
}

function turn(right, down) {
  const { eye_m, target_m } = state.camera;
  const [x, y, z] = add(eye_m, target_m, -1);
  const reach = Math.hypot(x, y, z);
  const azimuth = Math.atan2(y, x) - 0.006 * right;
  const elevation = Math.min(Math.max(Math.asin(z / reach) + 0.006 * down, -1.5), 1.5);
  const flat = reach * Math.cos(elevation);
  const arm = [flat * Math.cos(azimuth), flat * Math.sin(azimuth), reach * Math.sin(elevation)];
  state.camera.eye_m = add(target_m, arm);
}

function move(right_px, down_px) {
  const { right, up } = axesOf(state.camera);
  const reach = Math.hypot(...add(state.camera.eye_m, state.camera.target_m, -1));
  const perPx = (2 * reach * Math.tan((state.camera.field_of_view_deg * Math.PI) / 360)) / canvas.clientHeight;
  for (const name of ["eye_m", "target_m"]) {
    state.camera[name] = add(add(state.camera[name], right, -right_px * perPx), up, down_px * perPx);
  }
}

function zoom(factor) {
  const arm = add(state.camera.eye_m, state.camera.target_m, -1);
  const reach = Math.min(Math.max(Math.hypot(...arm) * factor, 0.5), 1000);
  state.camera.eye_m = add(state.camera.target_m, unit(arm), reach);
}

const KEYS = {
  1: () => toggle(0), 2: () => toggle(1), 3: () => toggle(2),
  c: nextColoring, s: saveCamera, r: resetCamera, " ": play,
  ArrowLeft: () => goTo(state.frame - 1), ArrowRight: () => goTo(state.frame + 1),
  "+": () => resize(0.5), "=": () => resize(0.5), "-": () => resize(-0.5),
};

function listen() {
  document.addEventListener("keydown", (event) => {
    const act = KEYS[event.key];
    if (!act || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    act();
  });
  canvas.addEventListener("pointerdown", (event) => canvas.setPointerCapture(event.pointerId));
  canvas.addEventListener("pointermove", (event) => {
    if (!event.buttons) return;
    const act = event.buttons === 1 && !event.shiftKey ? turn : move;
    act(event.movementX, event.movementY);
    redraw();
  });
  canvas.addEventListener("contextmenu", (event) => event.preventDefault());
  canvas.addEventListener("wheel", (event) => {
    event.preventDefault();
    zoom(Math.exp(0.001 * event.deltaY));
    redraw();
  }, { passive: false });
  window.addEventListener("resize", redraw);
  find("play").addEventListener("click", play);
  find("slider").addEventListener("input", (event) => goTo(Number(event.target.value)));
  find("coloring").addEventListener("change", (event) => {
    state.coloring = event.target.value;
    tell();
  });
}

function build() {
  find("slider").max = scene.frames.length - 1;
  for (const name of [BY_LAYER, ...Object.keys(scene.colorings)]) find("coloring").add(new Option(name));
  for (const layer of scene.layers) {
    const label = document.createElement("label");
    label.innerHTML = '<input type="checkbox"><i></i><span></span>';
    label.querySelector("i").style.background = layer.color;
    label.querySelector("input").addEventListener("change", (event) => {
      layer.visible = event.target.checked;
      tell();
    });
    find("layers").append(label);
  }
}

async function start() {
  if (!gl) throw new Error("This browser offers no WebGL, which draws the points.");
  const answer = await fetch("scene.json");
  if (!answer.ok) throw new Error(`scene.json: ${answer.status} ${answer.statusText}`);
  scene = await answer.json();
  program = makeProgram();
  gl.useProgram(program);
  gl.enable(gl.DEPTH_TEST);
  where = {};
  for (const name of ["toScreen", "sizePx", "bounds", "plain", "table", "lastStep"]) {
    where[name] = gl.getUniformLocation(program, name);
  }
  for (const name of ["place", "value"]) {
    where[name] = gl.getAttribLocation(program, name);
    gl.enableVertexAttribArray(where[name]);
  }
  rings = await fetchCloud("rings.bin", 3);
  Object.assign(state, { coloring: scene.coloring, sizePx: scene.point_size_px });
  resetCamera();
  build();
  listen();
  await goTo(0);
}

start().catch(complain);
