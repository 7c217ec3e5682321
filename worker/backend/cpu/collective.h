/* collective.h - what processes on one machine compute together, through memory that they share.
 *
 * See worker/backend/backend.h for the functions behind the table. All ranks make the same calls in the same order. */
#ifndef CPU_COLLECTIVE_H
#define CPU_COLLECTIVE_H

#include "worker/backend/backend.h"

status cpu_team_ticket(int ranks, unsigned char ticket[TEAM_TICKET]);
status cpu_team_join(device *d, const unsigned char ticket[TEAM_TICKET], int rank, int ranks, team **out);
void cpu_team_leave(team **g);
void cpu_team_abort(team *g);
status cpu_team_sum(team *g, buffer *b, size_t first, size_t count);

int team_ranks(const team *g);

/* Numbers that one call can carry. */
enum { TEAM_GATHER_MOST = 32768 };
/* `count` numbers of each rank, as many of each: rank r's are at all[r]. Valid until the next call of any of these. */
status team_gather(team *g, const double *mine, size_t count, const double *all[TEAM_RANKS]);

#endif
