/* SPDX-License-Identifier: GPL-2.0-only */
/*
 * The messages on a VM's socket: JSON objects, one a line.
 * Documentation/control.rst is their definition.
 */
#ifndef UMBRA_MESSAGE_H
#define UMBRA_MESSAGE_H

#include <jansson.h>
#include <stddef.h>

#include "lib/libumbra.h"

#define MESSAGE_VERSION		1
#define MESSAGE_REQUEST_MAX	4096		/* bytes, the newline too */
#define MESSAGE_ANSWER_MAX	(1u << 20)

/** enum message_code - why a request failed; the protocol's words are in message.c */
enum message_code {
	MESSAGE_OK,
	MESSAGE_BAD_REQUEST,	/* no JSON, or not the object that it should be */
	MESSAGE_BAD_VERSION,	/* another version of the protocol */
	MESSAGE_UNKNOWN_VERB,
	MESSAGE_BAD_ARGS,
	MESSAGE_FAILED,		/* understood, and could not be done */
};

/**
 * struct message_request - a request as it came
 * @id: what the answer repeats; NULL if the request has none
 * @args: an object; NULL if the request has none
 *
 * All belong to @root, which message_free() drops.
 */
struct message_request {
	json_t *root;
	const char *verb;
	json_t *args;
	json_t *id;
};

/**
 * message_parse() - take a request apart
 * @len: without the newline
 *
 * Members that the protocol does not have are refused.
 *
 * Return: MESSAGE_OK, or what is wrong with @err filled. @rq->id is set as far as it
 * was understood, so that the refusal can carry it; message_free() either way.
 */
enum message_code message_parse(struct message_request *rq, const char *text, size_t len,
				struct umbra_err *err);

/** message_free() - drop a request; harmless twice. */
void message_free(struct message_request *rq);

/**
 * message_answer(), message_refusal() - the line that answers a request
 * @id: the request's, or NULL
 * @result: an object; the reference is taken. NULL: memory ran out
 * @text: UTF-8
 *
 * Return: text with a newline at its end, for free(); NULL when memory ran out.
 */
char *message_answer(json_t *id, json_t *result);
char *message_refusal(json_t *id, enum message_code code, const char *text);

/** message_ask() - a request's line, for free(); @args may be NULL, the reference is taken. */
char *message_ask(const char *verb, json_t *args);

/**
 * message_read_answer() - take an answer apart
 * @result: gets a reference to the result
 *
 * Return: 0; -EREMOTEIO when it is a refusal, with its text in @err, -EINVAL when it
 * refuses the arguments; -EPROTO when it is no answer.
 */
int message_read_answer(const char *text, size_t len, json_t **result, struct umbra_err *err);

#endif
