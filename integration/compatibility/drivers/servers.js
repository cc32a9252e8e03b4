// servers.js server HTTP HTTPS HTTP2 NET UDP CERTIFICATE KEY FOLDER | cluster PORT
//          | client ADDRESS HTTP NET UDP WHAT FILE
'use strict';
const assert = require('assert');
const cluster = require('cluster');
const crypto = require('crypto');
const dgram = require('dgram');
const fs = require('fs');
const http = require('http');
const http2 = require('http2');
const https = require('https');
const net = require('net');
const path = require('path');

function web(folder) {
  return (request, response) => {
    if (request.method === 'PUT') {
      request.pipe(fs.createWriteStream(path.join(folder, request.url))).on('finish', () => response.end());
    } else if (request.url === '/slow') {
      // Never answered: clients leave.
    } else if (request.method === 'POST') {
      request.pipe(response);
    } else {
      const file = path.join(folder, request.url);
      response.setHeader('Content-Length', fs.statSync(file).size);
      fs.createReadStream(file).pipe(response);
    }
  };
}

function server(httpPort, httpsPort, http2Port, netPort, udpPort, certificate, key, folder) {
  const tls = { cert: fs.readFileSync(certificate), key: fs.readFileSync(key) };
  http.createServer(web(folder)).on('upgrade', (request, socket) => {
    socket.write('HTTP/1.1 101 Switching Protocols\r\nUpgrade: echo\r\nConnection: Upgrade\r\n\r\n');
    socket.pipe(socket);
  }).listen(+httpPort);
  https.createServer(tls, web(folder)).listen(+httpsPort);
  http2.createSecureServer(tls, web(folder)).listen(+http2Port);
  for (const [kind, address] of [['udp4', '0.0.0.0'], ['udp6', '::']]) {
    const socket = dgram.createSocket({ type: kind, ipv6Only: kind === 'udp6' });
    socket.on('message', (data, from) => socket.send(data, from.port, from.address)).bind(+udpPort, address);
  }
  const echo = net.createServer({ allowHalfOpen: true }, s => { s.on('error', () => s.destroy()); s.pipe(s); });
  echo.listen(+netPort);
}

function clustered(port) {
  if (cluster.isPrimary) {
    for (let i = 0; i < 2; i++) cluster.fork();
  } else {
    http.createServer((_, response) => response.end('from ' + process.pid)).listen(+port);
  }
}

const echoed = (socket, data) => new Promise((resolve, reject) => {
  const parts = [];
  let size = 0;
  socket.on('error', reject);
  socket.on('data', part => {
    parts.push(part);
    size += part.length;
    if (size >= data.length) resolve(Buffer.concat(parts));
  });
  socket.write(data);
});
const connected = (port, host, options = {}) => new Promise((resolve, reject) => {
  const socket = net.connect({ port, host, ...options }, () => resolve(socket));
  socket.on('error', reject);
});
const asked = (options, body) => new Promise((resolve, reject) => {
  const request = http.request(options, response => {
    const parts = [];
    response.on('data', part => parts.push(part)).on('end', () => resolve(Buffer.concat(parts))).on('error', reject);
  }).on('error', reject);
  request.end(body);
});

const checks = {
  async fetch({ host, port, file }) {
    const wanted = fs.readFileSync(file);
    for (let i = 0; i < 5; i++) {
      assert(wanted.equals(Buffer.from(await (await fetch(`http://${host}:${port}/10m`)).arrayBuffer())));
    }
    const all = Array.from({ length: 100 }, () => fetch(`http://${host}:${port}/1k`).then(r => r.arrayBuffer()));
    assert((await Promise.all(all)).every(b => b.byteLength === 1024));
  },
  async agent({ host, port }) {
    const agent = new http.Agent({ keepAlive: true, maxSockets: 10 });
    const one = async i => {
      const body = crypto.randomBytes(1 + i * 50);
      assert(body.equals(await asked({ host, port, method: 'POST', path: '/', agent }, body)));
    };
    await Promise.all(Array.from({ length: 300 }, (_, i) => one(i)));
    agent.destroy();
  },
  async net({ host, netPort }) {
    await Promise.all(Array.from({ length: 50 }, async () => {
      const socket = await connected(netPort, host);
      socket.setNoDelay(true).setKeepAlive(true, 1000);
      const data = crypto.randomBytes(200000);
      assert(data.equals(await echoed(socket, data)));
      socket.destroy();
    }));
  },
  async 'half-open'({ host, netPort, file }) {
    const socket = await connected(netPort, host, { allowHalfOpen: true });
    const hash = crypto.createHash('sha256');
    const ended = new Promise(resolve => socket.on('data', part => hash.update(part)).on('end', resolve));
    fs.createReadStream(file).pipe(socket);
    await ended;
    const wanted = crypto.createHash('sha256').update(fs.readFileSync(file)).digest('hex');
    assert.strictEqual(hash.digest('hex'), wanted);
  },
  async dgram({ host, udp }) {
    const socket = dgram.createSocket('udp4');
    for (let i = 0; i < 300; i++) {
      const data = crypto.randomBytes(1 + i * 4);
      const answer = new Promise(resolve => socket.once('message', resolve));
      socket.send(data, udp, host);
      assert(data.equals(await answer));
    }
    socket.close();
  },
  async upgrade({ host, port }) {
    const socket = await new Promise((resolve, reject) => http.request({ host, port, path: '/', headers: {
      Connection: 'Upgrade', Upgrade: 'echo' } }).on('upgrade', (_, s) => resolve(s)).on('error', reject).end());
    const data = crypto.randomBytes(1000000);
    assert(data.equals(await echoed(socket, data)));
    socket.destroy();
  },
  async abort({ host, port }) {
    for (let i = 0; i < 20; i++) {
      const control = new AbortController();
      const one = fetch(`http://${host}:${port}/10m`, { signal: control.signal });
      setTimeout(() => control.abort(), i);
      await one.then(r => r.arrayBuffer()).catch(error => assert.strictEqual(error.name, 'AbortError'));
    }
    assert.strictEqual((await asked({ host, port, path: '/1k' })).length, 1024);
  },
  async 'time-out'({ host, port }) {
    const error = await asked({ host, port, path: '/slow', signal: AbortSignal.timeout(300) }).catch(e => e);
    assert.strictEqual(error.name, 'AbortError');
    const refused = await asked({ host, port: 9, path: '/' }).catch(e => e);
    assert.strictEqual(refused.code, 'ECONNREFUSED');
  },
  async worker({ host, netPort }) {
    const { Worker } = require('worker_threads');
    const text = `const net = require('net'); const { workerData: w, parentPort } = require('worker_threads');
      const s = net.connect(w.port, w.host, () => s.write('x'.repeat(100000)));
      let n = 0; s.on('data', d => { n += d.length; if (n === 100000) { s.destroy(); parentPort.postMessage(n); } });`;
    await Promise.all(Array.from({ length: 4 }, () => new Promise((resolve, reject) => new Worker(text, { eval: true,
      workerData: { host, port: netPort } }).on('message', resolve).on('error', reject))));
  },
};

async function client(host, port, netPort, udp, what, file) {
  await checks[what]({ host, port: +port, netPort: +netPort, udp: +udp, file });
  console.log('good');
  process.exit(0);
}

({ server, cluster: clustered, client })[process.argv[2]](...process.argv.slice(3));
