/* keeper/request.h - answering the callers of the control socket, private to request*.c.
 *
 * include/sallyport/control.h lists the verbs and the fields of their answers.
 */
#pragma once

#include <jansson.h>

#include "keeper.h"
#include "sallyport/name.h"
#include "sallyport/verdict.h"

void request_status(struct keeper *keeper, struct server_client *client);
void request_workloads(struct keeper *keeper, struct server_client *client);
void request_profiles(struct keeper *keeper, struct server_client *client);
void request_pinholes(struct keeper *keeper, struct server_client *client,
                      const struct server_request *request);
void request_explain(struct keeper *keeper, struct server_client *client,
                     const struct server_request *request);
/* The question of an explain request, "WHO NAME TYPE [version N] [at TIME]"; what is wrong with the
 * words has been told to @client after an error. */
struct request_asking {
	const char *who; /* a workload's name, or an address; borrowed */
	uint8_t name[NAME_MAX_WIRE];
	uint16_t type;
	uint32_t version; /* 0: the current one */
	uint64_t now_s;
};
int request_asking_read(struct server_client *client, const char *const *words, size_t n,
                        struct request_asking *ret) MUST_CHECK;
uint32_t request_workload(const struct policy_image *image, const char *who);
/* The policy's word on it, whole; NULL: no memory. */
json_t *request_explained(const struct keeper *keeper, const struct policy_image *image,
                          const struct request_asking *asking, enum verdict_kind *ret_kind);
/* request_dnssec.c: and what the resolver finds now. */
void request_explain_dnssec(struct keeper *keeper, struct server_client *client,
                            const struct server_request *request);
void request_policy_apply(struct keeper *keeper, struct server_client *client,
                          const struct server_request *request);
void request_policy_rollback(struct keeper *keeper, struct server_client *client,
                             const struct server_request *request);
void request_policy_versions(struct keeper *keeper, struct server_client *client);
void request_policy_show(struct keeper *keeper, struct server_client *client,
                         const struct server_request *request);
void request_policy_feed(struct keeper *keeper, struct server_client *client,
                         const struct server_request *request);

void request_audit(struct keeper *keeper, struct server_client *client,
                   const struct server_request *request);

void request_nta_add(struct keeper *keeper, struct server_client *client,
                     const struct server_request *request);
void request_nta_list(struct keeper *keeper, struct server_client *client);
void request_nta_remove(struct keeper *keeper, struct server_client *client,
                        const struct server_request *request);
void request_anchors(struct keeper *keeper, struct server_client *client);
/* One text for each zone whose keys the newest look could not verify. */
void request_anchor_warnings(const struct keeper *keeper, json_t *array);
json_t *request_ntas(const struct keeper *keeper); /* in force: configured, then by command */

/* Parts of answers. */
json_t *request_time(uint64_t wall_ns);     /* RFC 3339 */
json_t *request_text(const char *text);     /* null for NULL; bytes that are not UTF-8 as '?' */
json_t *request_optional(const char *text); /* null for NULL and "" */
json_t *request_prefix(const struct prefix *prefix);
/* "tcp/443", "udp/any", "icmp", "any" ... of a rule; an empty array opens nothing. */
json_t *request_ports(const struct policy_image *image, uint32_t rule);
/* A version number in words; 0 and false when it is none. */
bool request_number(const char *word, uint32_t *ret_number);
