// SPDX-License-Identifier: GPL-2.0-only
#include <errno.h>
#include <stdlib.h>
#include <string.h>

#include "message.h"

static const char *const code_words[] = {
	[MESSAGE_BAD_REQUEST] = "bad-request",
	[MESSAGE_BAD_VERSION] = "bad-version",
	[MESSAGE_UNKNOWN_VERB] = "unknown-verb",
	[MESSAGE_BAD_ARGS] = "bad-args",
	[MESSAGE_FAILED] = "failed",
};

static json_t *load_object(const char *text, size_t len, struct umbra_err *err)
{
	json_error_t why;
	json_t *root = json_loadb(text, len, JSON_REJECT_DUPLICATES, &why);

	if (!root) {
		umbra_fail(err, 0, "no JSON: %s", why.text);
	} else if (!json_is_object(root)) {
		umbra_fail(err, 0, "no JSON object");
		json_decref(root);
		root = NULL;
	}
	return root;
}

static enum message_code wrong(enum message_code code, struct umbra_err *err, const char *text)
{
	umbra_fail(err, 0, "%s", text);
	return code;
}

static enum message_code take_members(struct message_request *rq, struct umbra_err *err)
{
	const json_t *version = NULL, *verb = NULL;
	json_t *value;
	void *at;

	/* An id that is an object could be of any depth. */
	value = json_object_get(rq->root, "id");
	if (value && !json_is_integer(value) && !json_is_string(value))
		return wrong(MESSAGE_BAD_REQUEST, err, "\"id\" is neither an integer nor a string");
	rq->id = value;
	for (at = json_object_iter(rq->root); at; at = json_object_iter_next(rq->root, at)) {
		const char *key = json_object_iter_key(at);

		value = json_object_iter_value(at);
		if (!strcmp(key, "version"))
			version = value;
		else if (!strcmp(key, "verb"))
			verb = value;
		else if (!strcmp(key, "args"))
			rq->args = value;
		else if (strcmp(key, "id"))
			return wrong(MESSAGE_BAD_REQUEST, err, "a member that the protocol has not");
	}
	if (!json_is_integer(version))
		return wrong(MESSAGE_BAD_REQUEST, err, "\"version\" is missing, or no integer");
	if (json_integer_value(version) != MESSAGE_VERSION)
		return umbra_fail(err, MESSAGE_BAD_VERSION, "only version %d is spoken here",
				  MESSAGE_VERSION);
	if (!json_is_string(verb))
		return wrong(MESSAGE_BAD_REQUEST, err, "\"verb\" is missing, or no string");
	if (rq->args && !json_is_object(rq->args))
		return wrong(MESSAGE_BAD_REQUEST, err, "\"args\" is no object");
	rq->verb = json_string_value(verb);
	return MESSAGE_OK;
}

enum message_code message_parse(struct message_request *rq, const char *text, size_t len,
				struct umbra_err *err)
{
	*rq = (struct message_request){ .root = load_object(text, len, err) };
	return rq->root ? take_members(rq, err) : MESSAGE_BAD_REQUEST;
}

void message_free(struct message_request *rq)
{
	json_decref(rq->root);
	*rq = (struct message_request){ 0 };
}

/* @root's reference is taken. */
static char *line(json_t *root)
{
	char *text = NULL, *longer = NULL;
	size_t len;

	if (root)
		text = json_dumps(root, JSON_COMPACT);
	json_decref(root);
	if (!text)
		return NULL;
	len = strlen(text);
	longer = realloc(text, len + 2);
	if (!longer) {
		free(text);
		return NULL;
	}
	memcpy(longer + len, "\n", 2);
	return longer;
}

static char *reply(json_t *id, const char *key, json_t *value)
{
	json_t *root = json_pack("{s:i,s:o}", "version", MESSAGE_VERSION, key, value);

	if (root && id)
		json_object_set(root, "id", id);
	return line(root);
}

char *message_answer(json_t *id, json_t *result)
{
	return reply(id, "result", result);
}

char *message_refusal(json_t *id, enum message_code code, const char *text)
{
	return reply(id, "error", json_pack("{s:s,s:s}", "code", code_words[code], "text", text));
}

char *message_ask(const char *verb, json_t *args)
{
	json_t *root = json_pack("{s:i,s:s}", "version", MESSAGE_VERSION, "verb", verb);

	if (root && args)
		json_object_set(root, "args", args);
	json_decref(args);
	return line(root);
}

int message_read_answer(const char *text, size_t len, json_t **result, struct umbra_err *err)
{
	json_t *root = load_object(text, len, err), *found;
	const char *why, *code;
	int ret = 0;

	*result = NULL;
	if (!root)
		return -EPROTO;
	found = json_object_get(root, "result");
	why = json_string_value(json_object_get(json_object_get(root, "error"), "text"));
	code = json_string_value(json_object_get(json_object_get(root, "error"), "code"));
	if (json_integer_value(json_object_get(root, "version")) != MESSAGE_VERSION)
		ret = umbra_fail(err, -EPROTO, "the runner speaks another version of the protocol");
	else if (json_is_object(found))
		*result = json_incref(found);
	else if (why && code)
		ret = umbra_fail(err, strcmp(code, code_words[MESSAGE_BAD_ARGS]) ? -EREMOTEIO :
				 -EINVAL, "%s", why);
	else
		ret = umbra_fail(err, -EPROTO, "neither a result nor an error");
	json_decref(root);
	return ret;
}
