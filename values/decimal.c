#include "decimal.h"

#include <string.h>

#define TENS(ten) ten "0" ten "1" ten "2" ten "3" ten "4" ten "5" ten "6" ten "7" ten "8" ten "9"
static const char pairs[] =
    TENS("0") TENS("1") TENS("2") TENS("3") TENS("4") TENS("5") TENS("6") TENS("7") TENS("8") TENS("9");

size_t decimal_length(uint64_t n)
{
    size_t length = 1;
    for (; n >= 10000; n /= 10000)
        length += 4;
    return length + (n >= 10) + (n >= 100) + (n >= 1000);
}

char *decimal_before(char *end, uint64_t n)
{
    for (; n >= 100; n /= 100) {
        end -= 2;
        memcpy(end, pairs + 2 * (n % 100), 2);
    }
    if (n < 10) {
        *--end = (char)('0' + n);
        return end;
    }
    end -= 2;
    memcpy(end, pairs + 2 * n, 2);
    return end;
}

char *decimal_put(char *at, uint64_t n)
{
    char *end = at + decimal_length(n);
    (void)decimal_before(end, n);
    return end;
}
