/*
 * Level L holds timers whose due time first differs from the wheel's in digit L (base 64): a slot spans 1 ms
 * on level 0, 64 ms on level 1, and so on. When the wheel reaches a slot of a higher level, that slot's
 * timers move down. It never skips an occupied slot, so no timer falls behind it.
 */
#include "timer_wheel.h"

#include <assert.h>

#include "list.h"
#include "loop.h"

static unsigned digit(uint64_t time, unsigned level)
{
    unsigned shift = level * TIMER_WHEEL_BITS;
    return (unsigned)(time >> shift) & (TIMER_WHEEL_SLOTS - 1);
}

void timer_wheel_init(timer_wheel_t *wheel, uint64_t now)
{
    *wheel = (timer_wheel_t){.now = now};
    for (unsigned level = 0; level < TIMER_WHEEL_LEVELS; level++)
        for (unsigned slot = 0; slot < TIMER_WHEEL_SLOTS; slot++)
            list_init(&wheel->slots[level][slot]);
}

void timer_wheel_add(timer_wheel_t *wheel, loop_timer_t *timer)
{
    uint64_t due = timer->due > wheel->now ? timer->due : wheel->now, differs = due ^ wheel->now;
    unsigned level = differs != 0 ? (63u - (unsigned)__builtin_clzll(differs)) / TIMER_WHEEL_BITS : 0;
    unsigned slot = digit(due, level);
    wheel->occupied[level] |= UINT64_C(1) << slot;
    list_insert(&wheel->slots[level][slot], &timer->link);
}

/* The first slot from the wheel's time on that may hold a timer, and its begin; false if none. Lower levels
 * come first: their timers share all higher digits with the wheel's time. */
static bool first_slot(const timer_wheel_t *wheel, unsigned *level, unsigned *slot, uint64_t *begins)
{
    for (unsigned l = 0; l < TIMER_WHEEL_LEVELS; l++) {
        uint64_t left = wheel->occupied[l] & (UINT64_MAX << digit(wheel->now, l));
        if (left == 0)
            continue;
        unsigned shift = l * TIMER_WHEEL_BITS;
        *level = l;
        *slot = (unsigned)__builtin_ctzll(left);
        *begins = wheel->now + ((uint64_t)(*slot - digit(wheel->now, l)) << shift);
        if (shift != 0 && *slot != digit(wheel->now, l))
            *begins &= UINT64_MAX << shift;
        return true;
    }
    return false;
}

uint64_t timer_wheel_soonest(const timer_wheel_t *wheel)
{
    unsigned level, slot;
    uint64_t begins;
    return first_slot(wheel, &level, &slot, &begins) ? begins : UINT64_MAX;
}

/* Moves all timers of a slot to `into`. */
static void empty_slot(timer_wheel_t *wheel, unsigned level, unsigned slot, list_t *into)
{
    wheel->occupied[level] &= ~(UINT64_C(1) << slot);
    list_insert_all(into, &wheel->slots[level][slot]);
}

/* Advances the wheel to `time`, before which no occupied slot begins. Timers of higher-level slots that begin
 * then move down. */
static void move_to(timer_wheel_t *wheel, uint64_t time)
{
    wheel->now = time;
    for (unsigned level = TIMER_WHEEL_LEVELS - 1; level > 0; level--) {
        unsigned slot = digit(time, level);
        if ((wheel->occupied[level] & (UINT64_C(1) << slot)) == 0)
            continue;
        list_t timers;
        list_init(&timers);
        empty_slot(wheel, level, slot, &timers);
        while (!list_is_empty(&timers)) {
            loop_timer_t *timer = CONTAINER_OF(loop_timer_t, link, timers.next);
            list_unlink(&timer->link);
            timer_wheel_add(wheel, timer);
        }
    }
}

void timer_wheel_collect(timer_wheel_t *wheel, uint64_t now, list_t *due)
{
    unsigned level, slot;
    uint64_t begins;
    assert(now >= wheel->now);
    while (first_slot(wheel, &level, &slot, &begins) && begins <= now) {
        move_to(wheel, begins);
        if (level == 0)
            empty_slot(wheel, 0, slot, due);
    }
    move_to(wheel, now);
}
