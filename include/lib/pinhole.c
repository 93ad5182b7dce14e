/* include/lib/pinhole.c - read and build the messages between a resolver worker and fwsync. */
#include "sallyport/pinhole.h"

#include <stddef.h>
#include <string.h>

#include "sallyport/err.h"

/* Octets behind a request's fixed part, before padding; sizes are bounded by their types (64 bits
 * cannot overflow). */
static size_t body_len(const struct pinhole_request *req)
{
	return ((size_t)req->n_src + req->n_dst) * ADDR_LEN +
	       (size_t)req->n_ports * sizeof(struct pinhole_port) + req->names_len;
}

static size_t padded(size_t len)
{
	return (len + 7) & ~(size_t)7;
}

static bool ports_ok(const struct pinhole_port *ports, unsigned int n)
{
	for (unsigned int i = 0; i < n; i++) {
		const struct pinhole_port *port = &ports[i];

		switch (port->kind) {
		case PINHOLE_KIND_PORT:
			if (port->proto == 0)
				return false;
			break;
		case PINHOLE_KIND_PROTO:
			if (port->proto == 0 || port->port != 0)
				return false;
			break;
		case PINHOLE_KIND_ANY:
			if (port->proto != 0 || port->port != 0)
				return false;
			break;
		default:
			return false;
		}
	}
	return true;
}

/* The names are opaque, but they must be whole: counts and octets fill names_len exactly. */
static bool names_ok(const uint8_t *names, size_t len)
{
	while (len > 0) {
		uint16_t n;

		if (len < sizeof(n))
			return false;
		memcpy(&n, names, sizeof(n));
		if (n == 0 || n > len - sizeof(n))
			return false;
		names += sizeof(n) + n;
		len -= sizeof(n) + n;
	}
	return true;
}

int pinhole_batch_read(const void *msg, size_t len, struct pinhole_view *views, uint16_t *ret_n)
{
	const struct pinhole_batch *head = msg;
	const uint8_t *p = msg;
	size_t left = len;

	if (len < sizeof(*head) || len > LIMIT_PINHOLE_MESSAGE || head->magic != PINHOLE_MAGIC ||
	    head->version != PINHOLE_VERSION || head->len != len || head->reserved != 0 ||
	    head->n_requests == 0 || head->n_requests > LIMIT_PINHOLE_REQUESTS)
		return ERR_MALFORMED;
	p += sizeof(*head);
	left -= sizeof(*head);

	for (unsigned int i = 0; i < head->n_requests; i++) {
		const struct pinhole_request *req = (const struct pinhole_request *)(const void *)p;
		struct pinhole_view *view = &views[i];

		if (left < sizeof(*req) || req->len > left || req->len % 8 != 0 ||
		    req->n_src == 0 || req->n_dst == 0 || req->n_ports == 0 || req->life_s == 0 ||
		    req->names_len > LIMIT_PINHOLE_NAMES || req->reserved != 0 ||
		    (req->flags & ~(unsigned int)PINHOLE_INTERNAL) != 0 ||
		    req->len != padded(sizeof(*req) + body_len(req)))
			return ERR_MALFORMED;

		const uint8_t *q = p + sizeof(*req);

		view->request = req;
		view->src = (const uint8_t(*)[ADDR_LEN])(const void *)q;
		q += (size_t)req->n_src * ADDR_LEN;
		view->dst = (const uint8_t(*)[ADDR_LEN])(const void *)q;
		q += (size_t)req->n_dst * ADDR_LEN;
		view->ports = (const struct pinhole_port *)(const void *)q;
		q += (size_t)req->n_ports * sizeof(struct pinhole_port);
		view->names = q;
		if (!ports_ok(view->ports, req->n_ports) || !names_ok(q, req->names_len))
			return ERR_MALFORMED;
		p += req->len;
		left -= req->len;
	}
	if (left != 0)
		return ERR_MALFORMED;
	*ret_n = head->n_requests;
	return ERR_OK;
}

int pinhole_results_read(const void *msg, size_t len, const struct pinhole_results **ret_head,
                         const struct pinhole_result **ret_results)
{
	const struct pinhole_results *head = msg;
	const struct pinhole_result *results;

	if (len < sizeof(*head) || len > LIMIT_PINHOLE_MESSAGE || head->magic != PINHOLE_MAGIC ||
	    head->version != PINHOLE_VERSION || head->n_results == 0 ||
	    head->n_results > LIMIT_PINHOLE_REQUESTS ||
	    len != sizeof(*head) + head->n_results * sizeof(*results))
		return ERR_MALFORMED;
	results =
	    (const struct pinhole_result *)(const void *)((const uint8_t *)msg + sizeof(*head));
	for (unsigned int i = 0; i < head->n_results; i++)
		if (results[i].status > PINHOLE_MALFORMED)
			return ERR_MALFORMED;
	*ret_head = head;
	*ret_results = results;
	return ERR_OK;
}

int pinhole_batch_append(void *msg, size_t len, size_t cap, const struct pinhole_view *view)
{
	struct pinhole_request req = *view->request;
	uint8_t *p = (uint8_t *)msg + len;
	size_t need = padded(sizeof(req) + body_len(&req));
	size_t used = 0;

	if (cap > LIMIT_PINHOLE_MESSAGE)
		cap = LIMIT_PINHOLE_MESSAGE;
	if (len < sizeof(struct pinhole_batch) || len % 8 != 0 || len > cap || need > cap - len)
		return ERR_LIMIT;
	req.len = (uint32_t)need;
	memcpy(p, &req, sizeof(req));
	used = sizeof(req);
	memcpy(p + used, view->src, (size_t)req.n_src * ADDR_LEN);
	used += (size_t)req.n_src * ADDR_LEN;
	memcpy(p + used, view->dst, (size_t)req.n_dst * ADDR_LEN);
	used += (size_t)req.n_dst * ADDR_LEN;
	memcpy(p + used, view->ports, (size_t)req.n_ports * sizeof(struct pinhole_port));
	used += (size_t)req.n_ports * sizeof(struct pinhole_port);
	if (req.names_len > 0)
		memcpy(p + used, view->names, req.names_len);
	used += req.names_len;
	memset(p + used, 0, need - used);
	return (int)(len + need);
}
