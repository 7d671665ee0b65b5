// Does what a test asks of Anthropic's SDK for TypeScript: steps as JSON on stdin, what came of each as JSON on stdout.

const Anthropic = require('@anthropic-ai/sdk');

let sent = 0;

function client(step) {
  const credential = step.bearer ? { authToken: step.key, apiKey: null } : { apiKey: step.key };
  const counted = (...request) => ((sent += 1), fetch(...request));
  return new Anthropic({ baseURL: process.env.BASE_URL, fetch: counted, ...credential });
}

function parameters(step) {
  const messages = [{ role: 'user', content: (step.text ?? 'hello').repeat(step.repeated ?? 1) }];
  return { model: step.model ?? 'demo-small', max_tokens: step.max_tokens ?? 100, messages };
}

function told(message) {
  const text = message.content.map((block) => block.text).join('');
  const { input_tokens: input, output_tokens: output } = message.usage;
  return { text, input, output, stop: message.stop_reason };
}

async function listed(items, tell) {
  const all = [];
  for await (const item of items) all.push(tell(item));
  return all;
}

const ways = {
  plain: async (api, step) => told(await api.messages.create(parameters(step))),
  beta: async (api, step) => told(await api.beta.messages.create({ betas: ['test-beta-1'], ...parameters(step) })),
  stream: async (api, step) => {
    let text = '';
    const final = told(await api.messages.stream(parameters(step)).on('text', (more) => (text += more)).finalMessage());
    if (final.text !== text) throw new Error('the helper lost some text');
    return final;
  },
  events: async (api, step) => {
    const events = await api.messages.create({ stream: true, ...parameters(step) });
    return { events: await listed(events, (event) => event.type) };
  },
  count_tokens: async (api, step) => {
    const { max_tokens: _, ...asked } = parameters(step);
    return { input: (await api.messages.countTokens(asked)).input_tokens };
  },
  models: async (api) => ({ models: await listed(api.models.list(), (model) => model.id) }),
  model: async (api, step) => ({ model: (await api.models.retrieve(step.model)).display_name }),
};

async function outcome(step) {
  sent = 0;
  const way = ways[step.do];
  if (!way) throw new Error(step.do);
  let result;
  try {
    result = await way(client(step), step);
  } catch (error) {
    if (!(error instanceof Anthropic.APIError)) throw error;
    const { type, message } = error.error?.error ?? {};
    result = { error: error.constructor.name, status: error.status, type, message, request_id: error.requestID };
  }
  return { ...result, sent };
}

async function main() {
  let text = '';
  for await (const piece of process.stdin) text += piece;
  const outcomes = [];
  for (const step of JSON.parse(text)) outcomes.push(await outcome(step));
  process.stdout.write(JSON.stringify(outcomes));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
