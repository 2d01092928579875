#pragma once

// Every symbol that crosses a shared-object boundary carries this; all else is hidden.
#define FEDMPI_API __attribute__((visibility("default")))
