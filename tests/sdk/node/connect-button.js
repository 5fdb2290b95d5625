// The vendor's connect button in a real browser: it opens the onboarding page, which leads back to the page with the button.
//
// The button's environment `local` opens http://localhost:8082; the browser is told that this is the server. The browser
// is spoken to over its debugging pipe.
'use strict';

const assert = require('assert');
const fs = require('fs');
const http = require('http');
const os = require('os');
const path = require('path');
const { spawn } = require('child_process');

const PATIENCE = 60000;
const partner = process.env.ROOKERY_PARTNER_ID;
const key = process.env.ROOKERY_PARTNER_KEY;
const [host, port] = process.env.ROOKERY_ADDR.split(':');
const button = fs.readFileSync(require.resolve('360dialog-connect-button/dist/dialog-connect-button.umd.js'));

// The partner's page: where the button is, and where the pop-up is led back to.
const PAGE = `<!doctype html><title>waiting</title><button id="go">Connect</button><script src="/button.js"></script>
<script>
const connect = new Dialog360.Connect({ partnerId: ${JSON.stringify(partner)}, env: 'local',
  queryParameters: { email: 'it@bakery.example', name: 'Bakery BV', state: 'a b' } });
connect.handlePopupCallback();
document.getElementById('go').addEventListener('click', () => connect.openConnect());
const result = connect.processCallback();
if (result && !window.opener) document.title = JSON.stringify(result);
</script>`;

function hub(method, below, body) {
  return new Promise((resolve, reject) => {
    const headers = { 'X-API-Key': key, 'Content-Type': 'application/json' };
    const request = http.request({ host, port, method, path: `/api/v2/partners/${partner}${below}`, headers }, (answer) => {
      let text = '';
      answer.on('data', (data) => (text += data));
      answer.on('end', () => resolve({ status: answer.statusCode, body: JSON.parse(text) }));
    });
    request.on('error', reject);
    request.end(body === undefined ? undefined : JSON.stringify(body));
  });
}

class Browser {
  constructor(folder) {
    const args = ['--headless=new', '--no-sandbox', '--disable-gpu', '--disable-dev-shm-usage', '--no-first-run',
      '--disable-background-networking', '--disable-component-update', '--no-proxy-server',
      `--user-data-dir=${folder}`, '--remote-debugging-pipe',
      `--host-resolver-rules=MAP localhost:8082 ${host}:${port}`, 'about:blank'];
    const program = process.env.ROOKERY_CHROMIUM || 'chromium';
    this.process = spawn(program, args, { stdio: ['ignore', 'ignore', 'pipe', 'pipe', 'pipe'] });
    this.process.stderr.resume();
    this.waiting = new Map();
    this.sent = 0;
    this.targets = new Map();
    let rest = '';
    this.process.stdio[4].on('data', (data) => {
      const parts = (rest + data).split('\0');
      rest = parts.pop();
      parts.forEach((part) => this.hear(JSON.parse(part)));
    });
  }

  hear(message) {
    if (message.id) {
      const { resolve, reject } = this.waiting.get(message.id);
      this.waiting.delete(message.id);
      return message.error ? reject(new Error(message.error.message)) : resolve(message.result);
    }
    if (/^Target\.target(Created|InfoChanged)$/.test(message.method)) {
      this.targets.set(message.params.targetInfo.targetId, message.params.targetInfo);
    }
    if (message.method === 'Target.targetDestroyed') this.targets.delete(message.params.targetId);
  }

  ask(method, params = {}, sessionId = undefined) {
    const id = ++this.sent;
    this.process.stdio[3].write(`${JSON.stringify({ id, method, params, sessionId })}\0`);
    return new Promise((resolve, reject) => this.waiting.set(id, { resolve, reject }));
  }

  async attach(targetId) {
    return (await this.ask('Target.attachToTarget', { targetId, flatten: true })).sessionId;
  }

  async run(session, expression) {
    const done = await this.ask('Runtime.evaluate', { expression, userGesture: true, returnByValue: true }, session);
    assert(!done.exceptionDetails, JSON.stringify(done.exceptionDetails));
    return done.result.value;
  }
}

async function until(what, look) {
  const end = Date.now() + PATIENCE;
  let last = 'it was not there';
  while (Date.now() < end) {
    try {
      const found = await look();
      if (found) return found;
    } catch (error) {
      // A page that is being led elsewhere cannot be asked for a moment.
      last = error.message;
    }
    await new Promise((resolve) => setTimeout(resolve, 50));
  }
  throw new Error(`never: ${what}: ${last}`);
}

async function main() {
  const server = http.createServer((request, answer) => {
    const isButton = request.url === '/button.js';
    answer.setHeader('Content-Type', isButton ? 'text/javascript' : 'text/html');
    answer.end(isButton ? button : PAGE);
  });
  await new Promise((resolve) => server.listen(0, '127.0.0.1', resolve));
  const page = `http://127.0.0.1:${server.address().port}/connected`;
  assert.strictEqual((await hub('PATCH', '', { partner_redirect_url: page })).status, 200);
  console.log('ok the partner says where its page is');

  const folder = fs.mkdtempSync(path.join(os.tmpdir(), 'connect-button-'));
  const browser = new Browser(folder);
  try {
    await browser.ask('Target.setDiscoverTargets', { discover: true });
    const { targetId } = await browser.ask('Target.createTarget', { url: page });
    const opener = await browser.attach(targetId);
    await until('the button', () => browser.run(opener, 'document.readyState === "complete" && !!window.Dialog360'));
    await browser.run(opener, 'document.getElementById("go").click()');
    const popup = await until('the pop-up', () =>
      [...browser.targets.values()].find((target) => target.url.includes('/dashboard/app/')));
    assert(popup.url.startsWith(`http://localhost:8082/dashboard/app/${partner}`), popup.url);
    console.log('ok the button opens the onboarding page');

    const session = await browser.attach(popup.targetId);
    await until('the form', () => browser.run(session, 'document.readyState === "complete" && document.forms.length === 2'));
    const filled = await browser.run(session, `(() => {
      const form = document.forms[0];
      const field = (name) => form.elements[name];
      const before = [field('email').value, field('name').value];
      field('contact').value = 'John Doe';
      field('password').value = 'long enough';
      field('number').value = '+31 6 12345678';
      return before.join('|') + '|' + getComputedStyle(document.body).backgroundColor;
    })()`);
    assert.strictEqual(filled, 'it@bakery.example|Bakery BV|rgb(243, 244, 246)');
    console.log('ok the page is filled in by the link and styled under its own policy');
    const shot = process.env.ROOKERY_SCREENSHOT;
    if (shot) {
      const { data } = await browser.ask('Page.captureScreenshot', {}, session);
      fs.writeFileSync(shot, Buffer.from(data, 'base64'));
    }
    browser.run(session, 'document.forms[0].querySelector("button").click()').catch(() => {});

    const title = await until('the result', async () => {
      const now = await browser.run(opener, 'document.title').catch(() => '');
      return now.startsWith('{') && now;
    });
    const result = JSON.parse(title);
    assert.match(result.client, /^[0-9A-Za-z]{8}CL$/);
    assert.strictEqual(result.channels.length, 1);
    assert.match(result.channels[0], /^[0-9A-Za-z]{6}CH$/);
    console.log('ok the button hands over client and channels');
    const address = await browser.run(opener, 'location.search');
    assert(address.includes('state=a+b') || address.includes('state=a%20b'), address);
    console.log('ok the state comes back');
    await until('the pop-up is closed', () => !browser.targets.has(popup.targetId));
    console.log('ok the pop-up closes itself');

    const made = await until('a key', async () => {
      const answer = await hub('POST', `/channels/${result.channels[0]}/api_keys`);
      return answer.status === 201 && answer;
    });
    assert(made.body.api_key);
    const channel = await hub('GET', `/channels/${result.channels[0]}`);
    assert.strictEqual(channel.body.client_id, result.client);
    assert.strictEqual(channel.body.setup_info.phone_number, '31612345678');
    console.log('ok a key can be made for the channel');
  } finally {
    browser.process.kill();
    await new Promise((resolve) => browser.process.once('exit', resolve));
    fs.rmSync(folder, { recursive: true, force: true, maxRetries: 5 });
    server.close();
  }
}

main().then(
  () => process.exit(0),
  (error) => {
    console.error(error);
    process.exit(1);
  },
);
