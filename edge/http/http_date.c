#include "http_date.h"

#include <stdio.h>
#include <time.h>

/* "Sun, 06 Nov 1994 08:49:37 GMT". */
static void write_date(uint64_t unix_seconds, char out[HTTP_DATE_LEN + 1])
{
    static const char days[] = "SunMonTueWedThuFriSat";
    static const char months[] = "JanFebMarAprMayJunJulAugSepOctNovDec";
    time_t seconds = (time_t)unix_seconds;
    struct tm tm;
    gmtime_r(&seconds, &tm);
    (void)snprintf(out, HTTP_DATE_LEN + 1, "%.3s, %02u %.3s %04u %02u:%02u:%02u GMT", days + tm.tm_wday * 3,
                   (unsigned)tm.tm_mday % 100, months + tm.tm_mon * 3, (unsigned)(tm.tm_year + 1900) % 10000,
                   (unsigned)tm.tm_hour % 100, (unsigned)tm.tm_min % 100, (unsigned)tm.tm_sec % 100);
}

str_t http_date_now(http_date_t *cache, const loop_t *loop)
{
    uint64_t second = loop_wall_us(loop) / 1000000;
    if (second != cache->second) {
        write_date(second, cache->text);
        cache->second = second;
    }
    return str_make(cache->text, HTTP_DATE_LEN);
}
