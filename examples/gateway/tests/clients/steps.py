"""Does what a test asks of Anthropic's SDK for Python: steps as JSON on stdin, what came of each as JSON on stdout."""

import json
import os
import sys

import anthropic

sent = 0


def count(_request):
    global sent
    sent += 1


def client(step):
    credential = {"auth_token": step["key"], "api_key": None} if step.get("bearer") else {"api_key": step["key"]}
    http_client = anthropic.DefaultHttpxClient(event_hooks={"request": [count]}, trust_env=False)
    return anthropic.Anthropic(base_url=os.environ["BASE_URL"], http_client=http_client, **credential)


def arguments(step):
    message = {"role": "user", "content": step.get("text", "hello") * step.get("repeated", 1)}
    return {"model": step.get("model", "demo-small"), "max_tokens": step.get("max_tokens", 100), "messages": [message]}


def told(message):
    text = "".join(block.text for block in message.content)
    usage = message.usage
    return {"text": text, "input": usage.input_tokens, "output": usage.output_tokens, "stop": message.stop_reason}


def do(step):
    api, what = client(step), step["do"]
    if what == "plain":
        return told(api.messages.create(**arguments(step)))
    if what == "beta":
        return told(api.beta.messages.create(betas=["test-beta-1"], **arguments(step)))
    if what == "stream":
        with api.messages.stream(**arguments(step)) as stream:
            text = "".join(stream.text_stream)
            final = told(stream.get_final_message())
        assert final["text"] == text, (final, text)
        return final
    if what == "events":
        return {"events": [event.type for event in api.messages.create(stream=True, **arguments(step))]}
    if what == "count_tokens":
        asked = arguments(step)
        del asked["max_tokens"]
        return {"input": api.messages.count_tokens(**asked).input_tokens}
    if what == "models":
        return {"models": [model.id for model in api.models.list()]}
    if what == "model":
        return {"model": api.models.retrieve(step["model"]).display_name}
    raise ValueError(what)


def outcome(step):
    global sent
    sent = 0
    try:
        result = do(step)
    except anthropic.APIStatusError as error:
        body = error.body["error"] if isinstance(error.body, dict) and "error" in error.body else {}
        result = {
            "error": type(error).__name__,
            "status": error.status_code,
            "type": body.get("type"),
            "message": body.get("message"),
            "request_id": error.request_id,
        }
    except anthropic.APIError as error:
        result = {"error": type(error).__name__, "message": str(error)}
    result["sent"] = sent
    return result


json.dump([outcome(step) for step in json.load(sys.stdin)], sys.stdout)
