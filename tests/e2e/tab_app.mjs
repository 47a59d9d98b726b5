// Apps whose pages reconnect by themselves: node tab_app.mjs <plain|socketio|vite> <port> <folder of node_modules>.
// Each page shows its number of connections, and has a button that sends a request.
import {createHash} from 'node:crypto';
import {createServer} from 'node:http';
import {createRequire} from 'node:module';
import {mkdtempSync, symlinkSync, writeFileSync} from 'node:fs';
import {tmpdir} from 'node:os';
import path from 'node:path';
import {pathToFileURL} from 'node:url';

const [kind, port, modules] = process.argv.slice(2);
const require = createRequire(`${modules}/x.js`);

const button = `<button onclick="fetch('/clicked', {method: 'POST'}).then((r) => r.text())
  .then((t) => document.getElementById('said').textContent = t)">ask</button><p id="said"></p>`;

const pages = {
  plain: `<!doctype html><link rel="icon" href="data:,"><h1>The app</h1>${button}<script>
    function connect() {
      const socket = new WebSocket('wss://' + location.host + '/socket');
      socket.onopen = () => document.title = 'connected';
      socket.onclose = () => { document.title = 'cut'; setTimeout(connect, 700); };
      socket.onerror = () => {};
    }
    connect();
    </script>`,
  socketio: `<!doctype html><link rel="icon" href="data:,"><h1>The app</h1>${button}
    <script src="/socket.io/socket.io.js"></script><script>
    const socket = io({reconnectionDelay: 500, reconnectionDelayMax: 1000});
    socket.on('connect', () => document.title = 'connected');
    socket.on('disconnect', () => document.title = 'cut');
    </script>`,
  vite: `<!doctype html><link rel="icon" href="data:,"><h1>The app</h1>${button}
    <script type="module" src="/main.js"></script>`,
};

function answer(request, response) {
  const asked = request.method === 'POST' && request.url === '/clicked';
  response.writeHead(200, {'Content-Type': asked ? 'text/plain' : 'text/html'});
  response.end(asked ? 'answered' : pages[kind]);
}

function accept(request, socket) {
  const key = createHash('sha1').update(request.headers['sec-websocket-key'] +
      '258EAFA5-E914-47DA-95CA-C5AB0DC85B11').digest('base64');
  socket.on('error', () => {});
  socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
      `Sec-WebSocket-Accept: ${key}\r\n\r\n`);
}

if (kind === 'vite') {
  const root = mkdtempSync(path.join(tmpdir(), 'tab-'));
  writeFileSync(`${root}/index.html`, pages.vite);
  writeFileSync(`${root}/main.js`, `import {text} from './text.js';\ndocument.title = text;\n`);
  writeFileSync(`${root}/text.js`, `export const text = 'connected';\n`);
  symlinkSync(modules, `${root}/node_modules`);
  const {createServer: createVite} = await import(pathToFileURL(`${modules}/vite/dist/node/index.js`).href);
  const clicked = {name: 'clicked', configureServer(server) {
    server.middlewares.use((request, response, next) => request.url === '/clicked' ? answer(request, response) : next());
  }};
  const server = await createVite({
    root, configFile: false, cacheDir: `${root}/cache`, plugins: [clicked], logLevel: 'warn',
    server: {host: '127.0.0.1', port: +port, strictPort: true},
  });
  await server.listen();
} else {
  const server = createServer(answer);
  if (kind === 'socketio')
    new (require('socket.io').Server)(server);
  else
    server.on('upgrade', accept);
  server.listen(+port, '127.0.0.1');
}
